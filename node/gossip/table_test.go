package gossip

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/distproc/distproc/wire"
)

var epoch = time.Unix(1e9, 0)

const (
	testReap        = time.Minute
	testUnconfirmed = 10 * time.Second
)

func newTestTable() *table {
	return newTable(wire.Member{Name: "self", Addr: "self:1", Incarnation: 5}, testReap, testUnconfirmed, Valid)
}

func told(name string, incarnation uint64, state wire.MemberState, age time.Duration) wire.Member {
	return wire.Member{Name: name, Addr: name + ":1", Incarnation: incarnation, State: state, Age: age}
}

func TestTable(t *testing.T) {
	t.Parallel()
	now := epoch
	x := func(incarnation uint64) wire.Member { return told("x", incarnation, wire.Alive, 0) }
	hear := func(m wire.Member) func(*table) bool {
		return func(t *table) bool { _, changed := t.learn([]wire.Member{m}, now); return changed }
	}
	alive := func(i uint64) func(*table) bool { return func(t *table) bool { return t.alive(x(i), now) } }
	failed := func(i uint64) func(*table) bool { return func(t *table) bool { return t.failed(x(i), now) } }
	left := func(i uint64) func(*table) bool { return func(t *table) bool { return t.leave(x(i), now) } }
	later := func(d time.Duration) func(*table) bool {
		return func(t *table) bool { now = now.Add(d); return t.tick(now) }
	}
	remove := func(t *table) bool { return t.remove("x", now) == nil }
	twin := wire.Member{Name: "x", Addr: "y:1", Incarnation: 4, State: wire.Left} // has left
	type step = func(*table) bool
	for name, c := range map[string]struct {
		steps []step
		want  string // the state and incarnation of x, and whether the last step changed a slot
	}{
		"serf sees it":                  {[]step{alive(3)}, "alive 3 changed"},
		"serf sees it again":            {[]step{alive(3), alive(3)}, "alive 3"},
		"serf sees a restart":           {[]step{alive(3), alive(4)}, "alive 4 changed"},
		"serf sees a clock set back":    {[]step{alive(3), alive(2)}, "alive 2 changed"},
		"serf loses it":                 {[]step{alive(3), failed(3)}, "failed 3 changed"},
		"serf finds it again":           {[]step{alive(3), failed(3), alive(3)}, "alive 3 changed"},
		"a later start leaves":          {[]step{alive(3), hear(told("x", 4, wire.Left, 0))}, "alive 3"},
		"serf sees the earlier one":     {[]step{alive(4), hear(told("x", 4, wire.Left, 0)), alive(3)}, "alive 3 changed"},
		"it left, others say":           {[]step{alive(4), hear(told("x", 4, wire.Left, 0)), alive(3), hear(told("x", 4, wire.Left, 0))}, "alive 3"},
		"the earlier one leaves, too":   {[]step{alive(4), hear(told("x", 4, wire.Left, 0)), alive(3), hear(told("x", 3, wire.Left, 0))}, "left 3 changed"},
		"serf says it left":             {[]step{alive(3), left(3)}, "left 3 changed"},
		"serf says too late it left":    {[]step{alive(3), failed(3), left(3)}, "reaped 3 changed"},
		"serf loses a leaver":           {[]step{alive(3), hear(told("x", 3, wire.Left, 0)), failed(3)}, "left 3"},
		"serf is late about a leaver":   {[]step{alive(3), hear(told("x", 3, wire.Left, 0)), alive(3)}, "left 3"},
		"a leaver that has come back":   {[]step{alive(3), hear(told("x", 3, wire.Left, 0)), alive(4)}, "alive 4 changed"},
		"a leaver that returns":         {[]step{alive(3), left(3), later(testReap), alive(3)}, "alive 3 changed"},
		"a leaver that does not go":     {[]step{alive(3), hear(told("x", 3, wire.Left, 0)), later(freshFarewell)}, "alive 3 changed"},
		"a leaver that stays, for serf": {[]step{alive(3), left(3), alive(3)}, "alive 3 changed"},
		"serf first, then the leaver":   {[]step{alive(3), left(3), hear(told("x", 3, wire.Left, 0))}, "left 3"},
		"the leaver first, then serf":   {[]step{alive(3), hear(told("x", 3, wire.Left, 0)), left(3), alive(3)}, "left 3"},
		"a twin's farewell":             {[]step{alive(3), hear(twin)}, "alive 3"},
		"a twin's farewell, serf's too": {[]step{alive(3), hear(twin), left(3), hear(twin), alive(3)}, "alive 3 changed"},
		"a known twin's farewell":       {[]step{alive(4), hear(told("x", 4, wire.Left, 0)), alive(3)}, "alive 3 changed"},
		"a leaver that goes after all":  {[]step{alive(3), hear(told("x", 3, wire.Left, 0)), failed(3), later(freshFarewell)}, "left 3"},
		"an old farewell":               {[]step{alive(3), hear(told("x", 3, wire.Left, testReap))}, "alive 3"},
		"a later start's farewell":      {[]step{alive(3), hear(told("x", 4, wire.Left, 0))}, "alive 3"},
		"a restart that serf missed":    {[]step{alive(3), hear(told("x", 4, wire.Left, 0)), failed(3)}, "left 4 changed"},
		"a twin left, then it fails":    {[]step{alive(3), hear(told("x", 4, wire.Left, 0)), later(freshFarewell), failed(3)}, "failed 3 changed"},
		"an earlier start's farewell":   {[]step{alive(3), hear(told("x", 2, wire.Left, 0))}, "alive 3"},
		"a clock set back, a farewell":  {[]step{hear(told("x", 4, wire.Left, 0)), alive(3), hear(told("x", 4, wire.Left, 0)), later(freshFarewell)}, "alive 3"},
		"told alive":                    {[]step{hear(x(3))}, "alive 3 changed"},
		"told alive, never seen":        {[]step{hear(x(3)), later(testUnconfirmed)}, "failed 3 changed"},
		"told alive, seen":              {[]step{hear(x(3)), alive(3), later(testUnconfirmed)}, "alive 3"},
		"told alive, then failed":       {[]step{hear(x(3)), hear(told("x", 3, wire.Failed, 0))}, "failed 3 changed"},
		"told of a restart":             {[]step{alive(3), failed(3), hear(x(4))}, "alive 4 changed"},
		"told of a restart, serf late":  {[]step{alive(3), failed(3), hear(x(4)), failed(3)}, "alive 4"},
		"told of a restart, serf left":  {[]step{alive(3), failed(3), hear(x(4)), left(3)}, "alive 4"},
		"told what serf knows better":   {[]step{alive(3), hear(told("x", 9, wire.Failed, 0))}, "alive 3"},
		"told of a failure":             {[]step{hear(told("x", 3, wire.Failed, time.Second))}, "failed 3 changed"},
		"told of a failure to come":     {[]step{hear(told("x", 3, wire.Failed, -testReap)), later(testReap + 1)}, "reaped 3 changed"},
		"told of an ancient failure":    {[]step{hear(told("x", 3, wire.Failed, testReap+1))}, "unknown"},
		"told reaped":                   {[]step{alive(3), failed(3), hear(told("x", 3, wire.Reaped, 0))}, "reaped 3 changed"},
		"told reaped but alive":         {[]step{alive(3), hear(told("x", 3, wire.Reaped, 0))}, "alive 3"},
		"reaped, told alive":            {[]step{hear(told("x", 3, wire.Reaped, 0)), hear(x(3))}, "reaped 3"},
		"reaped, told of a restart":     {[]step{hear(told("x", 3, wire.Reaped, 0)), hear(x(4))}, "alive 4 changed"},
		"reaped, serf finds it":         {[]step{hear(told("x", 3, wire.Reaped, 0)), alive(3)}, "alive 3 changed"},
		"not yet to be reaped":          {[]step{alive(3), failed(3), later(testReap)}, "failed 3"},
		"to be reaped":                  {[]step{alive(3), failed(3), later(testReap + 1)}, "reaped 3 changed"},
		"to be reaped, for others' age": {[]step{alive(3), failed(3), hear(told("x", 3, wire.Failed, testReap)), later(1)}, "reaped 3 changed"},
		"forgotten":                     {[]step{alive(3), left(3), later(2*testReap + 1)}, "unknown"},
		"an expired farewell":           {[]step{hear(told("x", 3, wire.Left, 2*testReap+1))}, "unknown"},
		"removed":                       {[]step{alive(3), failed(3), remove}, "reaped 3 changed"},
		"removed while alive":           {[]step{alive(3), remove}, "alive 3"},
		"a state of the future":         {[]step{hear(told("x", 3, 77, 0))}, "unknown"},
		"a bad address":                 {[]step{hear(wire.Member{Name: "x", Addr: "x"})}, "unknown"},
	} {
		table := newTestTable()
		now = epoch
		changed := false
		for _, step := range c.steps {
			changed = step(table)
		}
		got := "unknown"
		if e := table.entries["x"]; e != nil {
			states := []string{wire.Alive: "alive", wire.Failed: "failed", wire.Left: "left", wire.Reaped: "reaped"}
			got = fmt.Sprint(states[e.state], " ", e.incarnation)
		}
		if changed {
			got += " changed"
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestTableTwins has b know the first of two processes of a name, and c the second, which
// leaves. What serf makes of that is about the name, but neither takes it for the first's
// own word, nor is told so by the other.
func TestTableTwins(t *testing.T) {
	t.Parallel()
	first := wire.Member{Name: "x", Addr: "x:1", Incarnation: 3}
	second := wire.Member{Name: "x", Addr: "y:1", Incarnation: 4}
	farewell := second
	farewell.State = wire.Left
	b, c, now := newTestTable(), newTestTable(), epoch
	b.alive(first, now)
	c.alive(second, now)
	c.learn([]wire.Member{farewell}, now)
	c.leave(second, now)
	b.leave(first, now)
	c.alive(first, now) // it has refuted that
	for _, age := range []time.Duration{0, time.Second, freshFarewell - 1, freshFarewell + time.Second} {
		c.learn(b.snapshot(now.Add(age)), now.Add(age))
		if m := c.members(now)[1:]; len(m) != 1 || m[0] != first {
			t.Fatalf("told after %v, c has %+v", age, m)
		}
	}
	b.learn(c.snapshot(now), now)
	b.alive(first, now)
	if m := b.members(now)[1:]; len(m) != 1 || m[0] != first || b.digest() != c.digest() {
		t.Errorf("b has %+v", m)
	}
}

func TestTableSelf(t *testing.T) {
	t.Parallel()
	table := newTestTable()
	before := table.digest()
	list := []wire.Member{told("self", 9, wire.Alive, 0), told("self", 9, wire.Failed, 0), told("self", 9, wire.Left, 0)}
	if news, changed := table.learn(list, epoch); news || changed || table.digest() != before {
		t.Error("a peer told this node what it is")
	}
	if table.alive(list[0], epoch) || table.leave(list[0], epoch) || table.failed(list[0], epoch) || table.digest() != before {
		t.Error("serf told this node what it is")
	}
	for m, want := range map[wire.Member]bool{
		told("self", 5, wire.Alive, 0): false, told("self", 4, wire.Left, 0): false, told("self", 9, wire.Alive, 0): false,
		told("self", 5, wire.Failed, 0): true, told("self", 5, wire.Left, 0): true, told("self", 9, wire.Left, 0): true,
	} {
		table.suspected = time.Time{}
		table.learn([]wire.Member{m}, epoch)
		if got := !table.suspected.IsZero(); got != want {
			t.Errorf("told %+v, the node is in doubt: %v", m, got)
		}
	}
	table.left = true
	if m := table.members(epoch); len(m) != 1 || m[0].State != wire.Alive {
		t.Errorf("a leaver has members %+v", m)
	}
	if s := table.snapshot(epoch); s[0].State != wire.Left || table.digest() == before {
		t.Errorf("a leaver tells %+v", s)
	}
}

func TestTableLimits(t *testing.T) {
	t.Parallel()
	table := newTestTable()
	for i := range maxSlots + 10 {
		table.alive(told(fmt.Sprint("m", i), 1, wire.Alive, 0), epoch)
	}
	var list []wire.Member
	for i := range maxTold + 10 {
		list = append(list, told(fmt.Sprint("x", i), 1, []wire.MemberState{wire.Left, wire.Failed}[i%2], time.Duration(i)))
	}
	for range 2 {
		table.learn(list, epoch)
		slices.Reverse(list)
	}
	if got := len(table.members(epoch)); got != 1500+1 { // others as node/README.md says
		t.Errorf("%d slots", got)
	}
	if got := len(table.snapshot(epoch)); got > maxSlots+maxFarewells+1 {
		t.Errorf("%d entries", got)
	}
	for i := range maxSlots {
		table.leave(told(fmt.Sprint("m", i), 1, wire.Alive, 0), epoch)
	}
	if got := len(table.snapshot(epoch)); got != maxFarewells+1 {
		t.Errorf("%d entries after all have left", got)
	}
}

// tellings draws what peers might tell, of few names so that they meet.
func tellings(t *rapid.T, label string) []wire.Member {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) wire.Member {
		return wire.Member{
			Name:        rapid.SampledFrom([]string{"a", "b", "c", "self"}).Draw(t, "name"),
			Addr:        rapid.SampledFrom([]string{"h:1", "h:2", "bad"}).Draw(t, "addr"),
			Incarnation: rapid.Uint64Range(1, 3).Draw(t, "incarnation"),
			State:       wire.MemberState(rapid.IntRange(0, 4).Draw(t, "state")),
			Age:         time.Duration(rapid.IntRange(-1, 3).Draw(t, "age")) * testReap,
		}
	}), 0, 12).Draw(t, label)
}

func TestTableOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := tellings(t, "told")
		a, b := newTestTable(), newTestTable()
		a.learn(list, epoch)
		for _, m := range rapid.Permutation(list).Draw(t, "order") {
			b.learn([]wire.Member{m, m}, epoch)
		}
		if x, y := a.snapshot(epoch), b.snapshot(epoch); !reflect.DeepEqual(x, y) {
			t.Fatalf("it depends on the order:\n%+v\n%+v", x, y)
		}
	})
}

// Whatever serf says, a table that has learned what another knows learns nothing from it
// any more, and two that nobody's serf contradicts agree.
func TestTableSync(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := newTestTable(), newTestTable()
		b.self = told("other", 7, wire.Alive, 0)
		a.alive(b.self, epoch)
		b.alive(a.self, epoch)
		serf := rapid.Bool().Draw(t, "serf")
		now := epoch
		for _, table := range []*table{a, b} {
			for _, m := range tellings(t, "told") {
				switch how := rapid.IntRange(0, 4).Draw(t, "how"); {
				case !serf || how == 0:
					table.learn([]wire.Member{m}, now)
				case how == 1:
					table.alive(m, now)
				case how == 2:
					table.failed(m, now)
				case how == 3:
					table.leave(m, now)
				default:
					now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "later")) * time.Second)
					table.tick(now)
				}
			}
		}
		a.tick(now)
		b.tick(now)
		for range 2 {
			a.learn(b.snapshot(now), now)
			b.learn(a.snapshot(now), now)
		}
		if news, changed := a.learn(b.snapshot(now), now); news || changed {
			t.Fatal("news that is none")
		}
		if x, y := a.members(now), b.members(now); !serf && (!reflect.DeepEqual(x, y) || a.digest() != b.digest()) {
			t.Fatalf("they do not agree:\n%+v\n%+v", x, y)
		}
		for _, table := range []*table{a, b} {
			if got := len(table.members(now)) - 1; got != table.slots {
				t.Fatalf("%d slots counted, %d there", table.slots, got)
			}
		}
	})
}

func TestDigest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		slots := func(label string) (*table, map[string]uint64) {
			table, m := newTestTable(), map[string]uint64{}
			for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "ab", "b", "c"}), rapid.ID).Draw(t, label) {
				m[name] = rapid.Uint64Range(1, 2).Draw(t, "incarnation")
				state := wire.MemberState(rapid.IntRange(0, 1).Draw(t, "state"))
				table.learn([]wire.Member{told(name, m[name], state, 0)}, epoch)
			}
			return table, m
		}
		a, x := slots("a")
		b, y := slots("b")
		if (a.digest() == b.digest()) != reflect.DeepEqual(x, y) {
			t.Fatalf("%v and %v have digests %x and %x", x, y, a.digest(), b.digest())
		}
	})
}
