package worker

import (
	"encoding/json"
	"fmt"
	"mime"
	"strconv"
	"strings"
	"unique"

	"github.com/distproc/distproc/wire/text"
)

// A Value is what a worker's source produced: an integer or bytes, which may have a media
// type. The zero Value is empty bytes. It is immutable and comparable.
type Value struct {
	data  string                // the bytes, or the integer in decimal
	media unique.Handle[string] // integerType for an integer; zero if it is not known
}

// integerType marks integers. It is no media type, so no bytes can have it.
var integerType = unique.Make("integer")

// IntValue returns an integer value.
func IntValue(n int64) Value { return Value{strconv.FormatInt(n, 10), integerType} }

// BytesValue returns a value of bytes, usually text.
func BytesValue(s string) Value { return Value{data: s} }

// MediaValue returns a value of bytes with a media type (RFC 9110, section 8.3), such as
// "application/json". One that cannot be such a type is left out.
func MediaValue(mediaType, s string) Value {
	v := Value{data: s}
	if strings.Contains(mediaType, "/") && len(mediaType) <= maxMediaType {
		v.media = unique.Make(mediaType)
	}
	return v
}

const maxMediaType = 256 // bytes

// Int returns the integer, and whether the value is one.
func (v Value) Int() (int64, bool) {
	if !v.IsInt() {
		return 0, false
	}
	n, err := strconv.ParseInt(v.data, 10, 64)
	return n, err == nil
}

// IsInt reports whether the value is an integer.
func (v Value) IsInt() bool { return v.media == integerType }

// MediaType returns the media type of the bytes, or "" if it is not known.
func (v Value) MediaType() string {
	if v.IsInt() || v.media == (unique.Handle[string]{}) {
		return ""
	}
	return v.media.Value()
}

// String returns the bytes, or the integer in decimal.
func (v Value) String() string { return v.data }

// Len returns the number of bytes.
func (v Value) Len() int { return len(v.data) }

// RawValue returns the value of which data, mediaType and isInt are the String, the
// MediaType and the IsInt: what crosses a network.
func RawValue(data, mediaType string, isInt bool) Value {
	if isInt {
		return Value{data, integerType}
	}
	return MediaValue(mediaType, data)
}

// Values cross as bytes with a media type, so that all languages read them. [ValueOf] and
// [As] turn them into types of Go and back: int, int64, int32 and uint32 are integers;
// string and []byte are bytes; a [Value] is itself; everything else is JSON, other
// integers and types with names of their own included.

// ValueOf returns v as a value. It fails if v cannot be JSON.
func ValueOf(v any) (Value, error) {
	switch v := v.(type) {
	case Value:
		return v, nil
	case string:
		return BytesValue(v), nil
	case []byte:
		return BytesValue(string(v)), nil
	case int:
		return IntValue(int64(v)), nil
	case int64:
		return IntValue(v), nil
	case int32:
		return IntValue(int64(v)), nil
	case uint32:
		return IntValue(int64(v)), nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return Value{}, fmt.Errorf("a %T as JSON: %w", v, err)
	}
	return MediaValue(jsonType, string(data)), nil
}

const jsonType = "application/json"

// As returns a value as a type of Go. It fails if the value cannot be one.
func As[T any](v Value) (t T, err error) {
	switch p := any(&t).(type) {
	case *Value:
		*p = v
	case *string:
		*p = v.data
	case *[]byte:
		*p = []byte(v.data)
	default:
		if err = json.Unmarshal([]byte(v.data), &t); err != nil {
			err = fmt.Errorf("%s as a %T: %w", text.Quote(v.data), t, err)
		}
	}
	return t, err
}

// MarshalJSON returns an integer as a number, a value whose media type is JSON as it is,
// and other bytes as a string. Bytes that are not UTF-8, or that begin with "base64:",
// are written as "base64:" and the bytes in base64. The media type is not written.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.IsInt() || v.isJSON() && json.Valid([]byte(v.data)) {
		return []byte(v.data), nil
	}
	return json.Marshal(asText(v.data))
}

// UnmarshalJSON reads what [Value.MarshalJSON] writes: a number of at most 64 bits
// without a fraction becomes an integer, a string becomes bytes, and anything else
// becomes a value of the media type application/json.
func (v *Value) UnmarshalJSON(data []byte) error {
	var n int64
	if json.Unmarshal(data, &n) == nil && string(data) != "null" {
		*v = IntValue(n)
		return nil
	}
	var s string
	if len(data) > 0 && data[0] == '"' {
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		text, err := fromText(s)
		if err == nil {
			*v = BytesValue(text)
		}
		return err
	}
	*v = MediaValue(jsonType, string(data))
	return nil
}

// isJSON reports whether the media type is application/json or one of its kin (RFC 6839,
// section 3.1).
func (v Value) isJSON() bool {
	t, _, err := mime.ParseMediaType(v.MediaType())
	return err == nil && (t == jsonType || t == "text/json" || strings.HasSuffix(t, "+json"))
}
