// Package report has the JSON forms in which a gateway describes the cluster: ids, members,
// workers and explanations. The API and the page answer with the same ones.
//
// Texts come from peers and users: each is one printable line of at most [MaxText] bytes.
package report

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire/text"
)

// MaxText is the most bytes of a text that comes from elsewhere.
const MaxText = 4096

// Clip makes a text that may come from anywhere fit for an answer and the log.
func Clip(s string) string { return text.Line(s, MaxText) }

// Millis returns d in milliseconds, and 0 for a negative one.
func Millis(d time.Duration) int64 { return max(0, d).Milliseconds() }

// Hex returns n in hexadecimal: many JSON readers round large numbers.
func Hex(n uint64) string { return strconv.FormatUint(n, 16) }

// An ID is an id in JSON. It is always a string, as an integer may be of any size.
type ID struct {
	ID       string `json:"id"`
	Encoding string `json:"id_encoding,omitempty"`
}

// IDOf returns the form of an id.
func IDOf(id worker.ID) ID {
	text, encoding := TextOf(id.String())
	return ID{text, encoding}
}

// TextOf returns s as a JSON string can hold it: as it is, or as base64 with the encoding
// "base64".
func TextOf(s string) (text, encoding string) {
	if utf8.ValidString(s) {
		return s, ""
	}
	return base64.StdEncoding.EncodeToString([]byte(s)), "base64"
}
