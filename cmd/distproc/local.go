package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/distproc/distproc/node"
)

// A running node keeps a file in the user's folder for state locked. By that file commands
// without --attach find the node: it says where the node can be dialled from this machine.
// The system frees the lock when the process ends, however it ends. The file is never
// removed, because another process may be about to lock it.

// runningFile is the name of that file, in the node's folder NAME@HOST:PORT.
const runningFile = "running"

const maxRunning = 1000 // bytes of it that are read

// announce lets commands find a node that listens on addr. The node is found until the
// process ends, or until withdraw is called. Without a folder for state it cannot be found.
func announce(dir, name, addr string) (withdraw func(), err error) {
	if dir == "" {
		return func() {}, nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() { // it listens on all addresses
		host = "::1"
		if ip.Is4() {
			host = "127.0.0.1"
		}
	}
	dir = filepath.Join(dir, name+":"+port)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, runningFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = lockSoon(f)
	text := []byte(net.JoinHostPort(host, port) + "\n")
	if err == nil {
		_, err = f.WriteAt(text, 0)
	}
	if err == nil {
		err = f.Truncate(int64(len(text)))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// lockSoon locks a file. A command that looks whether it is locked lets go of it at once,
// unless it was stopped just then.
func lockSoon(f *os.File) error {
	for deadline := time.Now().Add(time.Second); ; time.Sleep(10 * time.Millisecond) {
		locked, err := tryLock(f, false)
		switch {
		case locked || err != nil:
			return err
		case time.Now().After(deadline):
			return fmt.Errorf("another process has locked %s", f.Name())
		}
	}
}

// A localNode is a node of this user that runs on this machine.
type localNode struct{ name, addr string }

// localNodes returns the nodes that announce has let commands find, by name.
func localNodes(dir string) (list []localNode) {
	paths, _ := filepath.Glob(filepath.Join(escapeGlob(dir), "*@*", runningFile)) // the pattern is not bad
	for _, path := range paths {
		name := filepath.Base(filepath.Dir(path))
		if addr, ok := lockedAddr(path); ok {
			list = append(list, localNode{name[:max(0, strings.LastIndexByte(name, ':'))], addr})
		}
	}
	slices.SortFunc(list, func(a, b localNode) int { return strings.Compare(a.name, b.name) })
	return list
}

// escapeGlob returns a pattern that matches only path.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// lockedAddr returns what a file says, if a running node has locked it.
func lockedAddr(path string) (addr string, ok bool) {
	f, err := os.OpenFile(path, openFlags, 0) // it may be a pipe that somebody put there
	if err != nil {
		return "", false
	}
	defer f.Close()
	if unlocked, err := tryLock(f, true); unlocked || err != nil {
		return "", false
	}
	text, err := io.ReadAll(io.LimitReader(f, maxRunning))
	addr, whole := strings.CutSuffix(string(text), "\n")
	if err != nil || !whole || node.CheckAddr(addr) != nil {
		return "", false // the node is about to write it
	}
	return addr, true
}

// theLocalNode returns where the only node of this user on this machine can be dialled, for
// a command without --attach.
func theLocalNode() (addr string, err error) {
	list := localNodes(stateDir())
	switch len(list) {
	case 1:
		return list[0].addr, nil
	case 0:
		return "", fmt.Errorf("no node of yours runs on this machine; pass --attach NAME@HOST, or set DISTPROC_ATTACH")
	}
	var names []string
	for _, n := range list {
		names = append(names, n.name)
	}
	return "", usagef("%d nodes of yours run on this machine; pass --attach with one of %s", len(list), strings.Join(names, ", "))
}
