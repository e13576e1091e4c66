package node

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

func TestParseTarget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for text, want := range map[string]placement.Addr{
			"1@h":            {Name: placement.Name{Node: "1", Host: "h"}},
			"1@h:5":          {Name: placement.Name{Node: "1", Host: "h"}, Port: 5},
			"h:5":            {Name: placement.Name{Node: "", Host: "h"}, Port: 5},
			"[::1]:5":        {Name: placement.Name{Node: "", Host: "::1"}, Port: 5},
			"127.0.0.1:4371": {Name: placement.Name{Node: "", Host: "127.0.0.1"}, Port: 4371},
		} {
			if got, err := protocol.ParseTarget(text); err != nil || got != want {
				t.Errorf("%s: %+v, %v", text, got, err)
			}
		}
		for _, text := range []string{"", "2", "h", ":5", "h:0", "h:x", "h:99999", "::1:5", "1@h:0", "@h:5"} {
			if err := CheckAddr(text); err == nil || !strings.Contains(err.Error(), "NAME@HOST") {
				t.Errorf("%q: %v, want what to write", text, err)
			}
		}
	})
}

// TestHostPort gives each way in the address of a node without its name.
func TestHostPort(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		a, b, c := startNode(t, "1@"+host, worker.Cache{}), startKnown(t, "2@"+host, t.TempDir(), testCookie), startNode(t, "3@"+host, worker.Cache{})
		if err := b.Join(t.Context(), b.Addr(), a.Addr()); err != nil {
			t.Fatal(err)
		}
		awaitView(t, a, b)
		if err := a.Join(t.Context(), a.Addr()); err != nil {
			t.Errorf("join of itself: %v", err)
		}
		if results := c.Connect(t.Context(), a.Addr(), c.Addr()); results[0].Err != nil || results[1].Err != nil || results[0].Name != a.Addr() {
			t.Errorf("connect: %+v", results)
		}
		awaitView(t, a, b, c)
		client, err := Attach(t.Context(), ClientConfig{Node: b.Addr(), Cookie: testCookie, network: memory})
		if err != nil || client.Self() != b.Self() {
			t.Fatal(err)
		}
		defer client.Close()
		if results := client.Connect(t.Context(), a.Addr(), host+":1"); results[0].Err != nil || !errors.Is(results[1].Err, ErrUnreachable) {
			t.Errorf("connect of the client: %+v", results)
		}
		b.Close(t.Context()) // the client moves
		await(t, func() error {
			if self := client.Self(); !slices.Contains([]string{a.Self(), c.Self()}, self) {
				return errors.New("still at " + self)
			}
			return nil
		})
		for text, want := range map[string]error{host + ":1": ErrUnreachable, "nonsense": nil} {
			if _, err := Attach(t.Context(), ClientConfig{Node: text, Cookie: testCookie, network: memory}); err == nil || want != nil && !errors.Is(err, want) {
				t.Errorf("attach to %s: %v, want %v", text, err, want)
			}
		}
	})
}

// TestHostPortRefused joins and attaches to a node of another cookie by its address: the
// error names the address.
func TestHostPortRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		a, b := startNode(t, "1@"+host, worker.Cache{}), startKnown(t, "2@"+host, "", []byte("the cookie of another cluster"))
		err := b.Join(t.Context(), a.Addr())
		if !errors.Is(err, wire.WrongCookie) || !strings.Contains(err.Error(), "cannot join "+a.Addr()) {
			t.Errorf("join: %v", err)
		}
		if _, err := Attach(t.Context(), ClientConfig{Node: a.Addr(), Cookie: []byte("the cookie of another cluster"), network: memory}); !errors.Is(err, ErrCookie) {
			t.Errorf("attach: %v", err)
		}
	})
}
