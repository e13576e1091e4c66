package gossip

import (
	"fmt"
	"slices"
	"testing"

	"github.com/distproc/distproc/wire"
)

func TestDoorkeeper(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, Local)
	v := n.start(1)
	node := *v.g.serf.Memberlist().LocalNode()
	if err := v.g.door.NotifyAlive(&node); err != nil {
		t.Error("it turns itself away:", err)
	}
	meta := slices.Clone(node.Meta)
	tags, err := readTags(meta)
	if err != nil || tags.Addr != v.self.Addr || tags.Incarnation != v.self.Incarnation {
		t.Errorf("tags are read as %+v, %v", tags, err)
	}
	node.Name = "other"
	for range 2 {
		if err := v.g.door.NotifyAlive(&node); err != nil {
			t.Error(err)
		}
	}
	if got := v.g.door.addr("other"); got != v.self.Addr {
		t.Errorf("it is at %q", got)
	}
	var many []wire.Member
	for i := range maxSlots {
		many = append(many, told(fmt.Sprint("m", i), 1, wire.Alive, 0))
	}
	v.g.Learn(many)
	for name, want := range map[string]bool{"new": false, "m3": true, "other": true, v.name: true} {
		node.Name = name
		if err := v.g.door.NotifyAlive(&node); (err == nil) != want {
			t.Errorf("%s at a full table: %v", name, err)
		}
	}
	for what, change := range map[string]func(){
		"a bad name":                   func() { node.Name = "a/b" },
		"another address":              func() { node.Addr = []byte{10, 0, 0, 1} },
		"another form of the address":  func() { node.Addr = node.Addr.To16() },
		"another port":                 func() { node.Port = 2 },
		"no tags":                      func() { node.Meta = nil },
		"a role":                       func() { node.Meta = []byte("role") },
		"tags cut short":               func() { node.Meta = meta[:len(meta)-3] },
		"tags that are too long":       func() { node.Meta = append(slices.Clone(meta), make([]byte, 512)...) },
		"tags without an incarnation":  func() { node.Meta = []byte("\xff\x81\xa4addr\xa3x:1") },
		"tags with a bad address":      func() { node.Meta = []byte("\xff\x82\xa4addr\xa1x\xa3inc\xa11") },
		"tags that no node would send": func() { node.Meta = []byte("\xff\x91\x91\x91") },
	} {
		old := node
		node.Name = "new"
		change()
		if err := v.g.door.NotifyAlive(&node); err == nil {
			t.Errorf("%s: let in", what)
		}
		node = old
	}
}
