package protocol

import (
	"bytes"
	"encoding/gob"
	"reflect"
	"testing"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestBounded decodes answers of empty elements, of which each is one byte on the wire.
// An answer with too many is refused when only its shape has been decoded, and an element
// of a shape is small.
func TestBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		result wire.Result
		answer func(elements int) any
		limit  int
	}{
		{"sync", BoundedSync(new(Sync)), func(n int) any { return Sync{List: make([]wire.Member, n)} }, MaxListed},
		{"workers", BoundedWorkers(new([]worker.Info)), func(n int) any { return make([]worker.Info, n) }, MaxWorkers},
		{"connections", BoundedConnections(new([]Connection)), func(n int) any { return make([]Connection, n) }, MaxListed},
		{"barrier", BoundedBarrier(new(Barrier)), func(n int) any { return Barrier{Held: make([]worker.Key, n)} }, MaxHeld},
		{"view", BoundedView(new(View)), func(n int) any { return View{Members: make([]wire.Member, n)} }, MaxListed},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, elements := range []int{1, c.limit, c.limit + 1} {
				var b bytes.Buffer
				if err := gob.NewEncoder(&b).Encode(c.answer(elements)); err != nil {
					t.Fatal(err)
				}
				var decoded []reflect.Type
				err := c.result.Take(func(to any) error {
					decoded = append(decoded, reflect.TypeOf(to).Elem())
					return gob.NewDecoder(bytes.NewReader(b.Bytes())).Decode(to)
				})
				if (err != nil) != (elements > c.limit) {
					t.Fatalf("%d elements: %v", elements, err)
				}
				if err != nil && len(decoded) != 1 {
					t.Errorf("%d elements: decoded %v", elements, decoded)
				}
				if size := elementSize(decoded[0]); size > 16 {
					t.Errorf("an element of the shape %v has %d bytes", decoded[0], size)
				}
			}
		})
	}
}

// elementSize returns the size in bytes of an element of a slice, or of a struct's only
// slice.
func elementSize(t reflect.Type) int {
	if t.Kind() == reflect.Struct {
		t = t.Field(t.NumField() - 1).Type
	}
	return int(t.Elem().Size())
}
