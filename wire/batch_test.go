package wire

import (
	"reflect"
	"testing"
)

// TestBatchColumns gives each column of a batch more entries than there are calls.
func TestBatchColumns(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Flags", "Num", "Text", "Kind", "Timeout", "Trace", "Len", "Type", "Chain"} {
		for extra := range 2 {
			var b callBatch
			b.add(1, &Request{}, long)
			pack(b.Seq)
			column := reflect.ValueOf(&b).Elem().FieldByName(name)
			column.Set(reflect.MakeSlice(column.Type(), 1+extra, 1+extra))
			if err := b.unpack(); (err != nil) != (extra > 0) {
				t.Errorf("1 call with %d entries of %s: %v", 1+extra, name, err)
			}
		}
	}
}
