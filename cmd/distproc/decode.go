package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/distproc/distproc/node/source"
	"github.com/distproc/distproc/node/worker"
)

// A configFile is what --config names: the kinds of workers, and settings of the node, in
// TOML.
//
//	[node]
//	join = ["1@10.0.0.1", "2@10.0.0.2"]
//
//	[kind.price]
//	source = "http://127.0.0.1:9000/price/{id}"
//	ttl = "30s"
type configFile struct {
	Node map[string]any        `toml:"node"` // by key: see settings.go
	Kind map[string]kindConfig `toml:"kind"`
}

// A configError is something wrong in a file.
type configError struct {
	path string
	line int
	key  string // or empty
	err  error
}

func (e *configError) Error() string {
	key := ""
	if e.key != "" {
		key = e.key + ": "
	}
	return fmt.Sprintf("%s:%d: %s%v", e.path, e.line, key, e.err)
}

func (e *configError) Unwrap() error { return e.err }

// decodeConfig returns the kinds and the settings in the text of a file, and all that is
// wrong with it, by line. Errors name the path. It does not look into the kinds: see
// parseKinds.
func decodeConfig(data []byte, path string) (c configFile, settings []setting, errs []error) {
	d := toml.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(&c)
	if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok {
		for i := range strict.Errors {
			errs = append(errs, unknownKey(&strict.Errors[i], path))
		}
	} else if err != nil {
		return configFile{}, nil, []error{wrongText(err, path)}
	}
	settings, wrong := settingsOf(c.Node, data, path)
	return c, settings, byLine(append(errs, wrong...))
}

// unknownKey returns the error about a key outside of [node] that a file may not have.
func unknownKey(e *toml.DecodeError, path string) error {
	line, _ := e.Position()
	key := e.Key()
	keys, word := keysOf[configFile](), key[0]
	has := "a file has the tables [node] and [kind.NAME]"
	if len(key) > 2 && key[0] == "kind" {
		keys, word = keysOf[kindConfig](), key[2]
		has = fmt.Sprintf("a [kind.NAME] has %s and %s", strings.Join(keys[:len(keys)-1], ", "), keys[len(keys)-1])
	}
	return &configError{path, line, strings.Join(key, "."), fmt.Errorf("no such key; %s", didYouMean(word, keys, has))}
}

// keysOf returns the keys that a table of a file may have.
func keysOf[T any]() (keys []string) {
	for f := range reflect.TypeFor[T]().Fields() {
		keys = append(keys, f.Tag.Get("toml"))
	}
	return keys
}

// wrongText returns the error about a text that is no TOML, or has a value of a wrong type.
func wrongText(err error, path string) error {
	if e, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, _ := e.Position()
		why := strings.TrimPrefix(e.Error(), "toml: ")
		if what, _, of := strings.Cut(why, " into struct field "); of { // of Go, which is nobody's business
			why = strings.Replace(what, "cannot decode TOML", "it cannot be a TOML", 1)
		}
		return &configError{path, line, strings.Join(e.Key(), "."), errors.New(why)}
	}
	return fmt.Errorf("%s: %w", path, err)
}

// byLine sorts errors by their lines.
func byLine(errs []error) []error {
	line := func(err error) (n int) {
		if e, ok := errors.AsType[*configError](err); ok {
			n = e.line
		}
		return n
	}
	slices.SortStableFunc(errs, func(a, b error) int { return line(a) - line(b) })
	return errs
}

// parseConfig returns what the text of a file describes for a node of that name, and all
// that is wrong with it. Keys that do not exist come first, because another error may follow
// from a misspelled key. Errors name the path.
func parseConfig(data []byte, path, name string) (kinds map[string]worker.Kind, settings []setting, errs []error) {
	c, settings, errs := decodeConfig(data, path)
	kinds = map[string]worker.Kind{}
	var wrong []error
	for _, kind := range slices.Sorted(maps.Keys(c.Kind)) {
		k := c.Kind[kind]
		v, key, err := k.kind(source.Env{Kind: kind, Node: name})
		if err != nil {
			wrong = append(wrong, &configError{path, lineOf(data, "kind", kind, key), "kind." + kind + "." + key, err})
			continue
		}
		kinds[kind] = v
	}
	return kinds, settings, append(errs, byLine(wrong)...)
}

// parseKinds returns the kinds that a file describes, for a node of that name. Errors
// name the path.
func parseKinds(data []byte, path, name string) (map[string]worker.Kind, error) {
	kinds, _, errs := parseConfig(data, path, name)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return kinds, nil
}
