package worker

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestValueJSON has the forms that are documented.
func TestValueJSON(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]Value{
		`7`:                     IntValue(7),
		`"seven"`:               BytesValue("seven"),
		`"\u003cp\u003e"`:       MediaValue("text/html", "<p>"),
		`"base64:/w=="`:         BytesValue("\xff"),
		`{"a":1}`:               MediaValue("application/problem+json", `{"a":1}`),
		`"{"`:                   MediaValue("application/json", `{`), // which it is not
		`"base64:YmFzZTY0Og=="`: BytesValue("base64:"),
	} {
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil || b.String() != want+"\n" {
			t.Errorf("%s is written %s, %v; want %s", v, b.String(), err, want)
		}
	}
	for _, bad := range []string{`"base64:?"`} {
		if err := json.Unmarshal([]byte(bad), new(Value)); err == nil {
			t.Errorf("%s is a value", bad)
		}
		if err := json.Unmarshal([]byte(bad), new(ID)); err == nil {
			t.Errorf("%s is an id", bad)
		}
	}
	for _, number := range []string{"7", "-12345678901234567890"} {
		var id ID
		if err := json.Unmarshal([]byte(number), &id); err != nil || id.String() != number {
			t.Errorf("the number %s is the id %s, %v", number, id, err)
		}
	}
	for _, bad := range []string{"7.5", "true", "{}"} {
		if err := json.Unmarshal([]byte(bad), new(ID)); err == nil {
			t.Errorf("%s is an id", bad)
		}
	}
	if err := json.Unmarshal([]byte(`"`+strings.Repeat("x", MaxIDLen+1)+`"`), new(ID)); err == nil {
		t.Error("an id of 257 bytes")
	}
}
