package gateway

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

func TestAccounts(t *testing.T) {
	t.Parallel()
	g := newGateway(newFake())
	for target, want := range map[string]string{
		"/v1/owner/a%20b": `{"id":"a b","owner":"2@127.0.0.1"}`,
		"/v1/owner/%ff":   `{"id":"/w==","id_encoding":"base64","owner":"2@127.0.0.1"}`,
		"/v1/nodes": `{"nodes":[{"name":"1@127.0.0.1","addr":"127.0.0.1:4371","state":"alive","since_ms":0,"incarnation":"ffffffffffffffff",` +
			`"rtt_ms":0,"workers":0,"requests":0,"requests_per_second":0,"stuck":0,"kinds":{},"differs":[],"apart":false,"uptime_ms":60000,"version":"v1","memory_bytes":1048576,"goroutines":9},` +
			`{"name":"2@127.0.0.1","addr":"127.0.0.1:4372","state":"alive","since_ms":0,"incarnation":"0",` +
			`"rtt_ms":0.048,"workers":1,"requests":5,"requests_per_second":12.3,"stuck":1,"kinds":{"price":"ab"},"differs":["price"],"apart":false,"unready":"it has not joined","uptime_ms":0,"version":"","memory_bytes":0,"goroutines":0},` +
			`{"name":"3@127.0.0.1","addr":"127.0.0.1:4373","state":"failed","since_ms":2500,"until_ms":60000,"incarnation":"0","problem":"out of reach"}]}`,
		"/v1/workers?limit=1":      `{"workers":[{"id":"7","kind":"price","node":"2@127.0.0.1","age_ms":1000,"ttl_ms":4000,"hits":3,"queue":1}],"total":2,"left_out":5000}`,
		"/v1/workers?kind=other":   `{"workers":[],"total":0,"left_out":5000}`,
		"/v1/workers?kind=default": `{"workers":[{"id":"8","kind":"default","node":"2@127.0.0.1","age_ms":1000,"ttl_ms":4000,"hits":3,"queue":1}],"total":1,"left_out":5000}`,
		"/v1/why/7": `{"id":"7","kind":"price","owner":"2@127.0.0.1","rule":"7 mod 3 = 1","index":1,"members":3,"epoch":"ffffffffffffffff","state":"stuck",` +
			`"fallback":"3@127.0.0.1","asked":"2@127.0.0.1","live":true,"loading":false,"serial":false,"apart":false,` +
			`"worker":{"id":"7","kind":"price","node":"2@127.0.0.1","age_ms":1000,"ttl_ms":4000,"hits":3,"queue":1},"ttl_ms":5000,` +
			`"text":"7 mod 3 = 1: 2@127.0.0.1 (stuck) is at index 1 in the sorted list of 3 members; a worker runs on 2@127.0.0.1 and expires in 4s"}`,
		"/healthz": "ok",
		"/readyz":  "ok",
	} {
		if res := get(t, g, target); res.status != 200 || res.body != want+"\n" {
			t.Errorf("%s: %s", target, res.body)
		}
	}
	f := newFake()
	quorum := worker.Quorum{Lease: 1500 * time.Millisecond, Epoch: 5, Views: 2, Voters: []string{"1@h"}, Voter: true, Leads: true, Quorum: true}
	lost := worker.Quorum{Silent: []string{"1@h"}, Why: "no answer"}
	f.nodes[0].Quorum, f.nodes[1].Quorum = &quorum, &lost
	f.why.Custody = &worker.Custody{
		Quorum: quorum, Node: "2@h", Acting: "2@h", Holders: []worker.Holder{{Member: "3@h", Epoch: 4, Busy: 1}}, Occupied: "3@h", Waits: "3@h",
		Runs: time.Second, Stuck: true, Token: worker.Token{Epoch: 5, Count: 6},
	}
	for target, want := range map[string]string{
		"/v1/nodes":  `"goroutines":9,"lease_ms":1500,"view_epoch":5,"views":2,"voters":["1@h"],"voter":true,"leads":true,"quorum":true},`,
		"/v1/nodes?": `"goroutines":0,"lease_ms":0,"view_epoch":0,"views":0,"voters":[],"voter":false,"leads":false,"quorum":false,"silent":["1@h"],"no_quorum":"no answer"},`,
		"/v1/why/7": `"custody":{"node":"2@h","lease_ms":1500,"view_epoch":5,"views":2,"voters":["1@h"],"voter":true,"leads":true,"quorum":true,` +
			`"acting":"2@h","holders":[{"member":"3@h","view_epoch":4,"busy":1}],"occupied":"3@h","waits":"3@h","runs_ms":1000,"stuck":true,` +
			`"token":"0000000000000005.0000000000000006"},"text":"in view 5 2@h acts for it; a call waits for 3@h"}`,
	} {
		if got := get(t, newGateway(f), target).body; !strings.Contains(got, want) {
			t.Errorf("%s: %s", target, got)
		}
	}
	f = newFake()
	f.why.Live, f.why.Fallback = false, ""
	if got := get(t, newGateway(f), "/v1/why/7").body; !strings.Contains(got, "no worker runs on") || strings.Contains(got, "fallback") || strings.Contains(got, `"worker"`) {
		t.Error(got)
	}
	f.why.Live, f.why.Loading = true, true
	if got := get(t, newGateway(f), "/v1/why/7").body; !strings.Contains(got, "a worker is loading on") || !strings.Contains(got, `"loading":true`) {
		t.Error(got)
	}
	f.why.Serial = true
	if got := get(t, newGateway(f), "/v1/why/7").body; !strings.Contains(got, "a worker is busy on") || !strings.Contains(got, `"serial":true`) {
		t.Error(got)
	}
	f.why.Live, f.why.Apart = false, true
	if got := get(t, newGateway(f), "/v1/why/7").body; !strings.Contains(got, "no worker starts: this node was disconnected") || !strings.Contains(got, `"apart":true`) {
		t.Error(got)
	}
	f = newFake()
	f.workers = slices.Repeat(f.workers, 600)
	for target, want := range map[string]int{"/v1/workers": 100, "/v1/workers?limit=1000": 1000} {
		if got := strings.Count(get(t, newGateway(f), target).body, `"id"`); got != want {
			t.Errorf("%s: %d workers, want %d", target, got, want)
		}
	}
}
