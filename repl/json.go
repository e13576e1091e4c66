package repl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	starjson "go.starlark.net/lib/json"
	startime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"
)

// encodeJSON returns v as the JSON of a message.
func encodeJSON(v starlark.Value) (string, error) {
	e := encoder{limit: maxJSON, depth: maxDepth, exact: true}
	err := e.value(v, 0)
	return e.b.String(), err
}

// jsonEncode is json.encode.
func jsonEncode(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kw []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kw, 1, &v); err != nil {
		return nil, err
	}
	e := encoder{limit: maxWhole, depth: maxNest}
	if err := e.value(v, 0); err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return starlark.String(e.b.String()), nil
}

const maxJSON = 1 << 20 // bytes of a message, as many as a value may have

// An encoder writes values as JSON. Starlark's own encoder knows no names of records, and
// has no bounds. A record, reply or account is an object of its attributes, in their order.
// A table is a list of objects. A duration is a number of seconds, and a time is text as in
// RFC 3339. The keys of a dict are sorted, so equal values have equal JSON.
//
// A value can be deeper than the stack, or contain the same part so often that its JSON is
// longer than the memory. So the encoder stops at a length and a depth.
type encoder struct {
	b     bytes.Buffer
	limit int              // bytes
	depth int              // of nesting
	exact bool             // text that is not UTF-8 is an error; else it is changed
	path  []starlark.Value // lists and dicts around what is written
}

// A wholeError concerns a value whatever the place of the part where it was found.
type wholeError string

func (e wholeError) Error() string { return string(e) }

// inPart says where in a value an error is, unless it concerns the whole.
func inPart(err error, format string, args ...any) error {
	if _, whole := errors.AsType[wholeError](err); err == nil || whole {
		return err
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

func (e *encoder) value(v starlark.Value, depth int) error {
	if depth > e.depth {
		return wholeError(fmt.Sprintf("it is nested more than %d deep", e.depth))
	}
	if _, many := v.(starlark.Iterable); many {
		if within(e.path, v) {
			return wholeError("it contains itself")
		}
		e.path = append(e.path, v)
		defer func() { e.path = e.path[:len(e.path)-1] }()
	}
	switch v := v.(type) {
	case starlark.NoneType:
		return e.raw("null")
	case starlark.Bool:
		return e.raw(strings.ToLower(v.String()))
	case starlark.Int:
		return e.raw(v.String())
	case starlark.Float:
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("cannot encode non-finite float %s", v)
		}
		return e.raw(v.String())
	case starlark.String:
		return e.text(string(v))
	case starlark.Bytes:
		if !e.exact {
			return errors.New("cannot encode bytes as JSON")
		}
		return wholeError("bytes in it; JSON has none, but a message can be bytes")
	case startime.Duration:
		return e.raw(seconds(time.Duration(v)).String())
	case startime.Time:
		return e.text(time.Time(v).Format(time.RFC3339Nano))
	case *record:
		return e.object(v.Type(), v.allNames(), v.Attr, depth)
	case *account:
		return e.object(v.Type(), v.names, v.Attr, depth)
	case reply:
		return e.object(v.Type(), replyNames, v.Attr, depth)
	case starlark.IterableMapping:
		return e.dict(v, depth)
	case starlark.Iterable:
		return e.list(v, depth)
	case starlark.HasAttrs:
		return e.object(v.Type(), v.AttrNames(), v.Attr, depth)
	}
	return fmt.Errorf("cannot encode %s as JSON", v.Type())
}

// raw writes what is JSON.
func (e *encoder) raw(s string) error {
	if e.b.Len()+len(s) > e.limit {
		return wholeError(fmt.Sprintf("it is longer than %d bytes", e.limit))
	}
	e.b.WriteString(s)
	return nil
}

func (e *encoder) text(s string) error {
	if e.exact && !utf8.ValidString(s) {
		return wholeError("a string in it is not UTF-8")
	}
	if e.b.Len()+len(s) > e.limit { // before it is copied
		return e.raw(s)
	}
	var quoted strings.Builder
	encode := json.NewEncoder(&quoted)
	encode.SetEscapeHTML(false)
	if err := encode.Encode(s); err != nil {
		return err
	}
	return e.raw(strings.TrimSuffix(quoted.String(), "\n"))
}

// object writes an object of so many names. What names it is only for errors.
func (e *encoder) object(what string, names []string, attr func(string) (starlark.Value, error), depth int) error {
	err := e.raw("{")
	for i, name := range names {
		if err != nil {
			return err
		}
		var v starlark.Value
		if v, err = attr(name); err == nil {
			err = e.member(i, name, v, depth)
		}
		err = inPart(err, "in field .%s of %s", name, what)
	}
	if err == nil {
		err = e.raw("}")
	}
	return err
}

// member writes a name and a value of an object.
func (e *encoder) member(i int, name string, v starlark.Value, depth int) error {
	if i > 0 {
		e.b.WriteByte(',')
	}
	if err := e.text(name); err != nil {
		return err
	}
	e.b.WriteByte(':')
	return e.value(v, depth+1)
}

func (e *encoder) dict(d starlark.IterableMapping, depth int) error {
	values := map[string]starlark.Value{}
	for _, item := range d.Items() {
		key, ok := item[0].(starlark.String)
		if !ok {
			return fmt.Errorf("%s has %s key, want string", d.Type(), item[0].Type())
		}
		values[string(key)] = item[1]
	}
	err := e.raw("{")
	for i, key := range slices.Sorted(maps.Keys(values)) {
		if err == nil {
			err = inPart(e.member(i, key, values[key], depth), "in %s key %q", d.Type(), key)
		}
	}
	if err == nil {
		err = e.raw("}")
	}
	return err
}

func (e *encoder) list(list starlark.Iterable, depth int) error {
	if err := e.raw("["); err != nil {
		return err
	}
	iter := list.Iterate()
	defer iter.Done()
	var v starlark.Value
	for i := 0; iter.Next(&v); i++ {
		if i > 0 {
			e.b.WriteByte(',')
		}
		if err := e.value(v, depth+1); err != nil {
			return inPart(err, "at %s index %d", list.Type(), i)
		}
	}
	return e.raw("]")
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

// jsonDecode is json.decode. A text that is no JSON is the default, if there is one.
func jsonDecode(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kw []starlark.Tuple) (starlark.Value, error) {
	if len(args) > 0 {
		s, _ := starlark.AsString(args[0])
		if err := validJSON(s); err != nil && strings.Contains(err.Error(), "exceeded max depth") {
			args = slices.Clone(args)
			args[0] = starlark.String("[") // the decoder's own error, without the depth
			if len(args)+len(kw) == 1 {
				return nil, fmt.Errorf("%s: it is nested more than 10000 deep", b.Name())
			}
		}
	}
	return starjson.Module.Members["decode"].(*starlark.Builtin).CallInternal(t, args, kw)
}
