package metrics_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/metrics"
	"github.com/distproc/distproc/node/worker"
)

// A node with its metrics where Prometheus looks for them.
func ExampleHandler() {
	n, err := node.Start(node.Config{Default: worker.Cache{Load: worker.RandomSource}, Name: "1@127.0.78.1", Cookie: []byte("a long secret that all nodes share")})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(context.Background())
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics.Handler(n, "v1.2.3"))
	server := httptest.NewServer(mux)
	defer server.Close()

	response, err := http.Get(server.URL + "/metrics")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "distproc_members{") || strings.HasPrefix(lines.Text(), "distproc_build") {
			fmt.Println(lines.Text())
		}
	}
	// Output:
	// distproc_build_info{version="v1.2.3"} 1
	// distproc_members{state="alive"} 1
	// distproc_members{state="failed"} 0
	// distproc_members{state="stuck"} 0
}

// Two nodes of one program in its own registry.
func ExampleNewCollector() {
	registry := prometheus.NewRegistry()
	for _, name := range []string{"1@127.0.78.2", "2@127.0.78.2"} {
		n, err := node.Start(node.Config{Default: worker.Cache{Load: worker.RandomSource}, Name: name, Cookie: []byte("a long secret that all nodes share")})
		if err != nil {
			log.Fatal(err)
		}
		defer n.Close(context.Background())
		prometheus.WrapRegistererWith(prometheus.Labels{"node": n.Self()}, registry).MustRegister(metrics.NewCollector(n))
	}
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "distproc_sessions" {
			for _, m := range f.GetMetric() {
				fmt.Println(m.GetLabel()[0].GetValue(), "has", m.GetGauge().GetValue(), "sessions")
			}
		}
	}
	// Output:
	// 1@127.0.78.2 has 0 sessions
	// 2@127.0.78.2 has 0 sessions
}
