package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/distproc/distproc/node"
)

// A service tells the service manager how a node is, by the protocol of sd_notify(3): READY=1
// once the node is ready, as /readyz says it, STATUS= with a line whenever that changes,
// STOPPING=1, and WATCHDOG=1 while the node answers itself.
//
// The watchdog asks for less than readiness: a node that has lost its cluster, or that has no
// leader of the voters, must not be restarted for that. One whose own port does not answer
// does nothing for anybody.
type service struct {
	ready, alive func(context.Context) error
	describe     func(context.Context) string // of a node that is ready
	send         func(state string) error
	log          *slog.Logger
	watchdog     time.Duration // after which the manager ends a process that sends no WATCHDOG=1; 0: never

	status string // that was sent last
	told   bool   // READY=1 was sent
	failed bool   // to send, which has been logged
}

const (
	serviceLook  = 250 * time.Millisecond // between two looks at a node that has not been ready yet
	serviceAgain = 5 * time.Second        // between two looks afterwards, at most
)

// startService returns the service of a node, or nil if no service manager has started this
// process.
func startService(n *running) *service {
	s := &service{ready: n.ready, alive: n.Alive, describe: n.describe, log: n.log, send: notifyManager}
	if sent, err := daemon.SdNotify(false, "STATUS=starting"); err != nil {
		n.log.Warn("cannot tell the service manager; see NOTIFY_SOCKET", "err", err.Error())
	} else if !sent {
		return nil
	}
	var err error
	if s.watchdog, err = daemon.SdWatchdogEnabled(false); err != nil {
		n.log.Warn("no watchdog; see WATCHDOG_USEC", "err", err.Error())
	}
	return s
}

func notifyManager(state string) error {
	_, err := daemon.SdNotify(false, state)
	return err
}

// run tells the manager how the node is, until ctx ends.
func (s *service) run(ctx context.Context) {
	if s == nil {
		return
	}
	for ctx.Err() == nil {
		s.look(ctx)
		wait := serviceAgain
		if !s.told {
			wait = serviceLook
		}
		if s.watchdog > 0 {
			wait = min(wait, s.watchdog/4)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// look asks the node once, and tells the manager.
func (s *service) look(ctx context.Context) {
	timeout := serviceAgain
	if s.watchdog > 0 {
		timeout = min(timeout, s.watchdog/4)
	}
	ask, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var news []string
	if s.watchdog > 0 && s.alive(ask) == nil {
		news = append(news, daemon.SdNotifyWatchdog)
	}
	ask, cancel = context.WithTimeout(ctx, timeout)
	defer cancel()
	status := ""
	if err := s.ready(ask); err != nil {
		status = "not ready: " + err.Error()
	} else {
		status = s.describe(ask)
		if !s.told {
			news = append(news, daemon.SdNotifyReady)
		}
	}
	if ctx.Err() != nil {
		return // what failed then says nothing of the node
	}
	if status != s.status {
		news = append(news, "STATUS="+strings.ToValidUTF8(oneLine(status), ""))
	}
	if s.tell(news...) {
		s.status, s.told = status, s.told || strings.HasPrefix(status, readyStatus)
	}
}

// readyStatus begins the status of a node that is ready.
const readyStatus = "ready, "

// stopping tells the manager that the node leaves.
func (s *service) stopping() {
	if s != nil {
		s.tell(daemon.SdNotifyStopping, "STATUS=leaving the cluster: calls finish, and others get the cached values")
	}
}

// tell sends news, and reports whether it could.
func (s *service) tell(news ...string) bool {
	if len(news) == 0 {
		return true
	}
	err := s.send(strings.Join(news, "\n"))
	if err != nil && !s.failed {
		s.log.Warn("cannot tell the service manager; see NOTIFY_SOCKET", "err", err.Error())
	}
	s.failed = err != nil
	return err == nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// describe returns a line about a node that is ready.
func (r *running) describe(ctx context.Context) string {
	members, err := r.Members(ctx)
	if err != nil {
		return readyStatus + "members unknown: " + err.Error()
	}
	count := map[node.State]int{}
	for _, m := range members {
		count[m.State]++
	}
	parts := []string{fmt.Sprintf("%d of %d members alive", count[node.StateAlive], len(members))}
	for _, state := range []node.State{node.StateFailed, node.StateStuck} {
		if n := count[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return readyStatus + strings.Join(parts, ", ")
}
