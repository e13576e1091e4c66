package node

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/distproc/distproc/node/worker"
)

// TestKindCheck gives fields values that make no sense. The error names the kind and the
// field, and the kinds of a node that runs stay as they are.
func TestKindCheck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := startNode(t, "1@"+testHost(), worker.Cache{})
		for field, k := range map[string]worker.Kind{
			"TTL":    worker.Cache{TTL: -1},
			"Jitter": worker.Cache{Jitter: 7},
			"Queue":  worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }, Queue: -5},
		} {
			k = orRandom(k)
			says := func(err error, kind string) {
				t.Helper()
				if want := "kind \"" + kind + "\": " + field + " must not be "; err == nil || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("%+v: error %v, want %q", k, err, want)
				}
			}
			says(n.SetKinds(map[string]worker.Kind{"good": orRandom(worker.Cache{}), "bad": k}), "bad")
			says(n.SetKinds(map[string]worker.Kind{worker.DefaultKind: k}), worker.DefaultKind)
			for kind, c := range map[string]Config{"bad": {Kinds: map[string]worker.Kind{"bad": k}}, worker.DefaultKind: {Default: k}} {
				c.Name, c.Cookie = "2@"+n.addr.Host, testCookie
				_, err := Start(c)
				says(err, kind)
			}
		}
		if r := n.kinds.Of("good"); r != nil {
			t.Error("kinds have changed")
		}
	})
}

// TestConfigCheck starts nodes with negative numbers.
func TestConfigCheck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for field, c := range map[string]Config{
			"ReapAfter": {ReapAfter: -1}, "MaxWaiting": {MaxWaiting: -1}, "MaxClients": {MaxClients: -1}, "MaxMemory": {MaxMemory: -1}, "--port": {Port: -1},
		} {
			c.Name, c.Cookie = "1@"+testHost(), testCookie
			if _, err := Start(c); err == nil || !strings.HasPrefix(err.Error(), field+" ") {
				t.Errorf("%s: error %v", field, err)
			}
		}
	})
}

func TestStartErrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		taken, err := net.Listen("tcp", host+":4371")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		for _, test := range []struct {
			config Config
			want   string
		}{
			{Config{Name: "1@" + host, Cookie: testCookie}, "--port"},
			{Config{Name: "2@" + host}, "cookie"},
			{Config{Name: "nonsense", Cookie: testCookie}, "NAME@HOST"},
			{Config{Name: "2@" + host, Port: 1 << 16, Cookie: testCookie}, "port"},
			{Config{Name: "2@203.0.113.1", Cookie: testCookie}, "no address of this machine; if others reach the node there, as behind NAT, pass --listen 0.0.0.0"},
			{Config{Name: "2@[2001:db8::1]", Cookie: testCookie}, "pass --listen ::"},
			{Config{Name: "2@" + host, Listen: "203.0.113.1", Cookie: testCookie}, "--listen: 203.0.113.1 is no address of this machine"},
			{Config{Name: "2@" + host, Listen: "nowhere", Cookie: testCookie}, "--listen: "},
			{Config{Name: "2@" + host, Advertise: "0.0.0.0", Cookie: testCookie}, "--advertise: nobody can dial"},
			{Config{Name: "2@0.0.0.0", Cookie: testCookie}, "pass --listen 0.0.0.0"},
			{Config{Name: "2@" + host, Cookie: testCookie, TLS: TLSFiles{Cert: "x"}}, "all three"},
		} {
			n, err := Start(test.config)
			if err == nil {
				n.Close(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Start(%+v) = %v, want an error with %q", test.config, err, test.want)
			}
		}
	})
}
