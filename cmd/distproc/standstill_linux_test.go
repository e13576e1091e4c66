package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestStandstill stops the owner of some accounts for 4 s while each of them runs a call
// and more of its calls wait, here and at other nodes, and some arrive meanwhile. A
// fallback takes the accounts. When the owner goes on, it begins no call whose caller has
// given up, and none beside the fallback.
func TestStandstill(t *testing.T) {
	if !*long {
		t.Skip("it takes a hundred programs and many seconds; -long runs it")
	}
	l := newLedger(t, http.DefaultClient)
	host := testHost()
	nodes, urls := make([]*process, 3), make([]string, 3)
	for i := range nodes {
		addr := fmt.Sprintf("%s:%d", host, 8081+i)
		nodes[i] = startNodeIn(t, l.dir, fmt.Sprintf("%d@%s", i+1, host), "--join", "1@"+host, "--config", l.path("kinds.toml"), "--http", addr)
		urls[i] = "http://" + addr
	}
	for _, url := range urls {
		awaitMembers(t, url, 3)
	}
	owner, ids := nodes[1], []int64{1, 4, 7, 10}
	for _, id := range ids {
		if c := l.add(urls[0], id, 10*time.Second); c.outcome != "" {
			t.Fatalf("%+v", *c)
		}
	}

	var callers sync.WaitGroup
	call := func(timeouts ...time.Duration) {
		for _, id := range ids {
			for _, url := range urls {
				for _, timeout := range timeouts {
					callers.Go(func() { l.add(url, id, timeout) })
				}
			}
		}
	}
	const brief, medium, patient = 1500 * time.Millisecond, 3 * time.Second, 25 * time.Second
	release := l.hold()
	call(patient)
	await(t, func() error {
		if n := l.begun("2@" + host); n != len(ids) {
			return fmt.Errorf("%d programs have begun, want %d", n, len(ids))
		}
		return nil
	})
	for range 5 {
		call(brief, medium, patient)
	}
	await(t, func() error {
		_, body, err := get(urls[1] + "/metrics")
		_, text, _ := strings.Cut(body, `distproc_waiting_calls{kind="account"} `)
		if n, _ := strconv.Atoi(strings.SplitN(text, "\n", 2)[0]); n < 100 {
			return fmt.Errorf("%d calls wait at the owner: %v", n, err)
		}
		return nil
	})
	owner.pause()
	release() // the programs end, and the owner does not see it
	for range 8 {
		time.Sleep(500 * time.Millisecond)
		call(brief, medium)
	}
	if err := owner.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	callers.Wait()
	for _, id := range ids {
		await(t, func() error {
			c := l.add(urls[2], id, 5*time.Second)
			if runs, _ := l.runs(); c.outcome != "" || runs[c.number][0].node != "2@"+host {
				return fmt.Errorf("%+v, run as %+v; want the owner's", *c, runs[c.number])
			}
			return nil
		})
	}
	l.check()
}

// awaitMembers waits until the node at url is ready, and sees so many members alive.
func awaitMembers(t *testing.T, url string, want int) {
	t.Helper()
	await(t, func() error {
		_, body, err := get(url + "/v1/nodes")
		if n := strings.Count(body, `"alive"`); err != nil || n != want {
			return fmt.Errorf("%s: %d members alive, want %d: %v", url, n, want, err)
		}
		code, body, err := get(url + "/readyz")
		if code != http.StatusOK {
			return fmt.Errorf("%s is not ready: %d %s %v", url, code, body, err)
		}
		return nil
	})
}
