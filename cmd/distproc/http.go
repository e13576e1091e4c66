package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/gateway"
	"github.com/distproc/distproc/node/metrics"
)

// web holds the flags of a node's HTTP gateway.
type web struct {
	addr      string
	tokenFile string
	open      bool
	profile   bool
	page      bool
	hosts     []string
	delay     time.Duration
}

func (w *web) register(f *pflag.FlagSet) {
	f.StringVar(&w.addr, "http", "", "answer HTTP requests on `HOST:PORT`, such as 127.0.0.1:8080: values, calls, metrics, and a page for browsers (default off)")
	f.StringVar(&w.tokenFile, "http-token-file", "", "`FILE` with the token that HTTP requests must bear, 16 bytes or more; needed off loopback")
	f.BoolVar(&w.open, "http-open", false, "let everybody who reaches --http use the cluster, without a token")
	f.BoolVar(&w.profile, "http-profile", false, "give profiles of the process at /v1/profile to those who have the token")
	f.BoolVar(&w.page, "http-page", true, "serve a page for people at /, which shows the cluster; --http-page=false leaves it out")
	f.DurationVar(&w.delay, "drain-delay", time.Second, "how long a node that ends still answers HTTP while /readyz says 503 and connections close after an answer; more than a balancer needs to notice")
	f.StringSliceVar(&w.hosts, "http-host", nil, "Host headers, `NAMES`, to accept besides localhost when --http is on loopback; for a reverse proxy on this machine")
}

// A webServer is a gateway that has its address already, and waits for its node.
type webServer struct {
	listener net.Listener
	config   gateway.Config
	wg       sync.WaitGroup
	cancel   context.CancelFunc
}

// check refuses flags that make no sense together.
func (w *web) check() error {
	if w.addr == "" {
		if w.tokenFile != "" || w.open || w.profile || !w.page || len(w.hosts) > 0 {
			return usagef("--http-token-file, --http-open, --http-profile, --http-page and --http-host are of no use without --http HOST:PORT")
		}
		return nil
	}
	if w.profile && w.tokenFile == "" {
		return usagef("--http-profile: pass --http-token-file, too: profiles are for those who have the token")
	}
	if err := gateway.CheckListen(w.addr, w.tokenFile != "", w.open); err != nil {
		return usageError{fmt.Errorf("--http: %w", err)}
	}
	return nil
}

// listen takes the address, after check, so that a mistake shows before the node starts. It returns
// nil if there is none.
func (w *web) listen(log *slog.Logger, drain time.Duration) (*webServer, error) {
	if w.addr == "" {
		return nil, nil
	}
	s := &webServer{config: gateway.Config{Hosts: w.hosts, Profile: w.profile, NoPage: !w.page, Logger: log, DrainDelay: w.delay, DrainTimeout: drain}}
	var err error
	if w.tokenFile != "" {
		if s.config.Token, err = gateway.ReadToken(w.tokenFile); err != nil {
			return nil, fmt.Errorf("--http-token-file: %w", err)
		}
	}
	if s.listener, err = net.Listen("tcp", w.addr); err != nil {
		return nil, fmt.Errorf("--http: %w", err)
	}
	return s, nil
}

// serve answers from n until close. Ready is what /readyz says.
func (s *webServer) serve(n *node.Node, ready func(context.Context) error, log *slog.Logger) {
	s.config.Cluster, s.config.Metrics, s.config.Ready = n, metrics.Handler(n, version()), ready
	s.config.Logger = n.Logger() // so that a refused request is an event
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	log.Info("answering HTTP", "addr", s.listener.Addr().String())
	s.wg.Go(func() {
		if err := gateway.New(s.config).Serve(ctx, s.listener); err != nil {
			log.Error("HTTP has ended", "err", err)
		}
	})
}

// close ends what is asked by HTTP, before the node leaves.
func (s *webServer) close() {
	if s.cancel == nil { // the node did not start
		s.listener.Close()
		return
	}
	s.cancel()
	s.wg.Wait()
}
