package worker

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/distproc/distproc/wire/text"
)

// Ids, values and enumerations as text and as JSON, so that a message may hold them. What
// is not UTF-8 has no place there as it is: it is written in base64 after a marker, and
// so is text that begins with the marker.

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
		return "", fmt.Errorf("%s: after %q there must be base64: %w", text.Quote(s), base64Marker, err)
	}
	return string(b), nil
}

// MarshalText returns the id as [ParseID] reads it. An id that is not UTF-8, or that
// begins with "base64:", is written as "base64:" and its bytes in base64.
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
		return fmt.Errorf("%s: %w", text.Quote(string(data)), ErrBadID)
	}
	return id.UnmarshalText(data)
}
