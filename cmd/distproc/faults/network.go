//go:build unix

package faults

import (
	"fmt"
	"net"

	"github.com/distproc/distproc/cmd/distproc/internal/netns"
)

// A network is where the nodes of a run are, and what can break between them.
type network interface {
	host(i int) string    // of node i; 0 is where clients are
	enter(i int) []string // the words before a command that runs where node i does; 0 is where clients do
	strike(f plannedFault) error
	heal(f plannedFault) error
	move(f plannedFault, by int) error // a twin; see twin.go
}

// A loopback has all nodes at one address. Only resets can happen to it.
type loopback struct {
	address string
	resets  bool // ss can do it
}

func newLoopback(address string) (loopback, error) {
	resets, err := canReset(address)
	return loopback{address, resets}, err
}

func (l loopback) host(int) string              { return l.address }
func (l loopback) enter(int) []string           { return nil }
func (l loopback) heal(plannedFault) error      { return nil }
func (l loopback) move(plannedFault, int) error { return nil }

func (l loopback) strike(f plannedFault) error {
	if !l.resets {
		return nil
	}
	return netns.Run("ss", resetArgs(l.address, f.nodes[0])...)
}

// resetArgs makes ss reset all TCP connections of node i.
func resetArgs(host string, i int) []string {
	filter := fmt.Sprintf("( src %s and sport = :%d ) or ( dst %[1]s and dport = :%[2]d )", host, 4370+i)
	return []string{"-K", "-H", "-t", filter}
}

// canReset reports whether ss -K works here. That takes privileges, and a kernel with
// INET_DIAG_DESTROY. The error says that the address cannot be used.
func canReset(host string) (bool, error) {
	l, err := net.Listen("tcp", host+":4371")
	if err != nil {
		return false, err
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return false, err
	}
	defer c.Close()
	if netns.Run("ss", resetArgs(host, 1)...) != nil {
		return false, nil
	}
	_, err = c.Write([]byte{1})
	return err != nil, nil
}
