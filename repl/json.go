package repl

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	starjson "go.starlark.net/lib/json"
	"go.starlark.net/starlark"
)

// encodeJSON returns v as JSON. The keys of a dict are sorted, so equal values have equal
// JSON.
func encodeJSON(v starlark.Value) (string, error) {
	left := maxJSON
	if err := checkJSON(v, 0, &left); err != nil {
		return "", err
	}
	encode := starjson.Module.Members["encode"].(*starlark.Builtin)
	text, err := encode.CallInternal(new(starlark.Thread), starlark.Tuple{v}, nil)
	if err != nil {
		return "", errors.New(strings.TrimPrefix(err.Error(), "json.encode: "))
	}
	s := string(text.(starlark.String))
	return s, validJSON(s) // the encoder writes DEL in a way that is not JSON
}

const maxJSON = 1 << 20 // bytes, as many as a value may have

// checkJSON finds errors that the encoder does not: a value too deep for the stack, a
// value too long for the memory because it contains the same part many times, and text
// that would change because it is not UTF-8. It subtracts from left at most the length of
// v as JSON.
func checkJSON(v starlark.Value, depth int, left *int) error {
	if depth > maxDepth {
		return fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	switch v := v.(type) {
	case starlark.String:
		if !utf8.ValidString(string(v)) {
			return errors.New("a string in it is not UTF-8")
		}
		*left -= len(v)
	case starlark.Bytes:
		return errors.New("bytes in it; JSON has none, but a message can be bytes")
	case starlark.Int:
		*left -= len(v.String())
	default:
		*left--
	}
	if *left < 0 {
		return fmt.Errorf("it is longer than %d bytes", maxJSON)
	}
	dict, isDict := v.(*starlark.Dict)
	many, isMany := v.(starlark.Iterable)
	if !isMany {
		return nil
	}
	iter := many.Iterate()
	defer iter.Done()
	var part starlark.Value
	for iter.Next(&part) {
		if err := checkJSON(part, depth+1, left); err != nil {
			return err
		}
		if isDict {
			part, _, _ = dict.Get(part)
			if err := checkJSON(part, depth+1, left); err != nil {
				return err
			}
		}
	}
	return nil
}

// decodeJSON returns the value of a JSON text.
func decodeJSON(s string) (starlark.Value, error) {
	if err := validJSON(s); err != nil {
		return nil, err
	}
	decode := starjson.Module.Members["decode"].(*starlark.Builtin)
	v, err := decode.CallInternal(new(starlark.Thread), starlark.Tuple{starlark.String(s)}, nil)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "json.decode: "))
	}
	return v, nil
}

// validJSON returns an error if a text is not JSON, or is nested more than 10,000 deep,
// where Starlark's decoder would overflow the stack.
func validJSON(s string) error { return json.Unmarshal([]byte(s), new(json.RawMessage)) }
