package node

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"
	"unicode/utf8"
)

// Ids, values and enumerations as text and as JSON, so that a message may hold them. What is not UTF-8 has no place
// there as it is: it is written in base64 after a marker, and so is text that begins with the marker.

const base64Marker = "base64:"

// asText returns bytes as text that fromText reads.
func asText(s string) string {
	if utf8.ValidString(s) && !strings.HasPrefix(s, base64Marker) {
		return s
	}
	return base64Marker + base64.StdEncoding.EncodeToString([]byte(s))
}

func fromText(s string) (string, error) {
	encoded, marked := strings.CutPrefix(s, base64Marker)
	if !marked {
		return s, nil
	}
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", fmt.Errorf("%s: after %q there must be base64: %w", clipped(s), base64Marker, err)
	}
	return string(b), nil
}

// MarshalText returns the id as [ParseID] reads it. An id that is not UTF-8, or that begins with "base64:", is written as
// "base64:" and its bytes in base64.
func (id ID) MarshalText() ([]byte, error) { return []byte(asText(id.String())), nil }

// UnmarshalText reads what [ID.MarshalText] writes.
func (id *ID) UnmarshalText(text []byte) error {
	s, err := fromText(string(text))
	if err != nil {
		return err
	}
	parsed, err := ParseID(s)
	if err == nil {
		*id = parsed
	}
	return err
}

// UnmarshalJSON reads a string as [ID.UnmarshalText] does, or an integer.
func (id *ID) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		return id.UnmarshalText([]byte(s))
	}
	if !canonicalDecimal(string(data)) {
		return fmt.Errorf("%s: %w", clipped(string(data)), ErrBadID)
	}
	return id.UnmarshalText(data)
}

// MarshalJSON returns an integer as a number, a value whose media type is JSON as it is, and other bytes as a string.
// Bytes that are not UTF-8, or that begin with "base64:", are written as "base64:" and the bytes in base64. The media type
// is not written.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.isInt() || v.isJSON() && json.Valid([]byte(v.data)) {
		return []byte(v.data), nil
	}
	return json.Marshal(asText(v.data))
}

// UnmarshalJSON reads what [Value.MarshalJSON] writes: a number of at most 64 bits without a fraction becomes an integer, a
// string becomes bytes, and anything else becomes a value of the media type application/json.
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

// isJSON reports whether the media type is application/json or one of its kin (RFC 6839, section 3.1).
func (v Value) isJSON() bool {
	t, _, err := mime.ParseMediaType(v.MediaType())
	return err == nil && (t == jsonType || t == "text/json" || strings.HasSuffix(t, "+json"))
}

// unmarshalName sets v to the constant of that name. Names are in the order of the constants.
func unmarshalName[T ~uint8](v *T, what string, names []string, text []byte) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return errors.New(what + " " + clipped(string(text)) + ": say " + strings.Join(names, ", "))
	}
	*v = T(i)
	return nil
}

// MarshalText returns the name of the state.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads alive, failed or stuck.
func (s *State) UnmarshalText(text []byte) error {
	return unmarshalName(s, "state", []string{Alive.String(), Failed.String(), Stuck.String()}, text)
}

// MarshalText returns the name of the reason.
func (r EndReason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads expired, moved, stopped, closing or crashed.
func (r *EndReason) UnmarshalText(text []byte) error {
	return unmarshalName(r, "reason", endReasons[:], text)
}

// MarshalText returns the name of the routing.
func (r Routing) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads modulo or rendezvous.
func (r *Routing) UnmarshalText(text []byte) error {
	return unmarshalName(r, "routing", routingNames[:], text)
}
