//go:build unix

package faults

import (
	"fmt"
	"slices"

	"github.com/distproc/distproc/cmd/distproc/internal/netns"
)

// A twin in namespaces. A node's address leads to one of two hosts, like that of a
// service that was moved to another machine: for the nodes of f.nodes[1:] to the second
// host, for the others to the first. In the split the two parts do not reach each other.
// After it they do, and both hosts reach all, as each has an address of its own besides.

// ownAddress is an address of host i that is not its node's.
func ownAddress(i int) string { return fmt.Sprintf("192.0.2.%d", 100+i) }

// twinLinks returns those that the split cuts.
func twinLinks(f plannedFault) (links []netns.Link) {
	i, apart := f.nodes[0], f.nodes[1:]
	for a := 1; a <= faultNodes; a++ {
		switch {
		case a == i:
		case slices.Contains(apart, a):
			links = append(links, netns.Link{From: i, To: a})
		default:
			links = append(links, netns.Link{From: twinHost, To: a})
			for _, b := range apart {
				links = append(links, netns.Both(a, b)...)
			}
		}
	}
	return links
}

// divide has the node's address lead to the host on the side of each other host.
func (n namespaces) divide(f plannedFault) error {
	var steps []func() error
	i, apart := f.nodes[0], f.nodes[1:]
	for j := range faultNodes + 1 {
		to := i
		if slices.Contains(apart, j) {
			to = twinHost
		}
		if j != i {
			steps = append(steps, func() error { return n.SetNeighbour(j, n.Host(i), netns.MAC(to)) })
		}
	}
	steps = append(steps, func() error { return n.IP(twinHost, "addr", "add", n.Host(i)+"/32", "dev", "eth0") })
	for _, host := range []int{i, twinHost} {
		steps = append(steps, func() error { return n.IP(host, "addr", "replace", ownAddress(host)+"/32", "dev", "eth0") })
	}
	return netns.AtOnce(steps...)
}

// dialFrom has a host call from an address.
func (n namespaces) dialFrom(host int, address string) error {
	return n.IP(host, "route", "replace", "192.0.2.0/24", "dev", "eth0", "src", address)
}

// move has both hosts of a twin call from addresses of their own, or takes the second
// host away if by is negative.
func (n namespaces) move(f plannedFault, by int) error {
	i := f.nodes[0]
	if by > 0 {
		return netns.AtOnce(
			func() error { return n.dialFrom(i, ownAddress(i)) },
			func() error { return n.dialFrom(twinHost, ownAddress(twinHost)) },
		)
	}
	if err := n.IP(twinHost, "addr", "del", n.Host(i)+"/32", "dev", "eth0"); err != nil {
		return err // the other hosts would find it again
	}
	steps := []func() error{func() error { return n.dialFrom(i, n.Host(i)) }}
	for j := range faultNodes + 1 {
		if j != i {
			steps = append(steps, func() error { return n.ForgetNeighbour(j, n.Host(i)) })
		}
	}
	return netns.AtOnce(steps...)
}
