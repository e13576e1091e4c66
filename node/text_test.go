package node

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
)

// TestMessageWithIDs sends a message that holds ids, values and enumerations, as a program does: all of them arrive.
func TestMessageWithIDs(t *testing.T) {
	type transfer struct {
		To      worker.ID
		Amount  worker.Value
		ByID    map[worker.ID]worker.Value
		State   State
		Reason  worker.EndReason
		Routing placement.Routing
		Timing  Timing
		Outcome worker.Outcome
	}
	id := func(s string) worker.ID {
		v, err := worker.ParseID(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, to := range []string{"7", "-1", "tenant é", "", "\xff\x00", "base64:", "base64:YQ==", strings.Repeat("9", 100)} {
		for _, v := range []worker.Value{worker.IntValue(1<<63 - 1), worker.IntValue(-5), worker.BytesValue("text \"x\""), worker.BytesValue(""), worker.BytesValue("\xff"), worker.BytesValue("base64:!"),
			worker.MediaValue("application/json", `{"a":[1,2.5,null]}`), worker.MediaValue("application/json", "1e400"), worker.MediaValue("application/json", "null")} {
			want := transfer{id(to), v, map[worker.ID]worker.Value{id(to): v}, Stuck, worker.Crashed, placement.Rendezvous, 2, worker.OutcomeRan}
			message, err := worker.ValueOf(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := worker.As[transfer](message)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s arrives as %+v, %v; want %+v", message, got, err, want)
			}
		}
	}
	for _, name := range []string{"State", "Reason", "Routing", "Timing", "Outcome"} {
		if _, err := worker.As[transfer](worker.MediaValue("application/json", `{"`+name+`":"nonsense"}`)); err == nil || !strings.Contains(err.Error(), "nonsense") {
			t.Errorf("%s nonsense: %v", name, err)
		}
	}
}

// TestValueJSON has the forms that are documented.
func TestValueJSON(t *testing.T) {
	for want, v := range map[string]worker.Value{
		`7`:                     worker.IntValue(7),
		`"seven"`:               worker.BytesValue("seven"),
		`"\u003cp\u003e"`:       worker.MediaValue("text/html", "<p>"),
		`"base64:/w=="`:         worker.BytesValue("\xff"),
		`{"a":1}`:               worker.MediaValue("application/problem+json", `{"a":1}`),
		`"{"`:                   worker.MediaValue("application/json", `{`), // which it is not
		`"base64:YmFzZTY0Og=="`: worker.BytesValue("base64:"),
	} {
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil || b.String() != want+"\n" {
			t.Errorf("%s is written %s, %v; want %s", v, b.String(), err, want)
		}
	}
	for _, bad := range []string{`"base64:?"`} {
		if err := json.Unmarshal([]byte(bad), new(worker.Value)); err == nil {
			t.Errorf("%s is a value", bad)
		}
		if err := json.Unmarshal([]byte(bad), new(worker.ID)); err == nil {
			t.Errorf("%s is an id", bad)
		}
	}
	for _, number := range []string{"7", "-12345678901234567890"} {
		var id worker.ID
		if err := json.Unmarshal([]byte(number), &id); err != nil || id.String() != number {
			t.Errorf("the number %s is the id %s, %v", number, id, err)
		}
	}
	for _, bad := range []string{"7.5", "true", "{}"} {
		if err := json.Unmarshal([]byte(bad), new(worker.ID)); err == nil {
			t.Errorf("%s is an id", bad)
		}
	}
	if err := json.Unmarshal([]byte(`"`+strings.Repeat("x", worker.MaxIDLen+1)+`"`), new(worker.ID)); err == nil {
		t.Error("an id of 257 bytes")
	}
}
