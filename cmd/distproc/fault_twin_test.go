package main

import (
	"fmt"
	"slices"
)

// A twin in namespaces. A node's address leads to one of two hosts, as that of a service does that was moved to another
// machine: for the nodes of f.nodes[1:] to the second, for the others to the first. In the split they do not
// reach each other. After it they do, and both hosts reach all, as each has an address of its own besides.

// ownAddress is an address of host i that is not its node's.
func ownAddress(i int) string { return fmt.Sprintf("192.0.2.%d", 100+i) }

// mac is the hardware address of a host.
func mac(i int) string { return fmt.Sprintf("02:00:00:00:00:%02x", i) }

// changeTwin splits the cluster, or heals it. n.mu is held.
func (n *namespaceNet) changeTwin(steps *steps, f plannedFault, by int) {
	i, apart := f.nodes[0], f.nodes[1:]
	for a := 1; a <= faultNodes; a++ {
		switch {
		case a == i:
		case slices.Contains(apart, a):
			steps.add(n.block(f, i, a, by))
		default:
			steps.add(n.block(f, twinHost, a, by))
			for _, b := range apart {
				steps.add(n.block(f, a, b, by))
				steps.add(n.block(f, b, a, by))
			}
		}
	}
	if by < 0 {
		return
	}
	for j := range faultNodes + 1 {
		to := i
		if slices.Contains(apart, j) {
			to = twinHost
		}
		if j != i {
			steps.add(func() error { return n.neighbour(j, n.host(i), mac(to)) })
		}
	}
	steps.add(func() error { return n.ip(twinHost, "addr", "add", n.host(i)+"/32", "dev", "eth0") })
	for _, host := range []int{i, twinHost} {
		steps.add(func() error { return n.ip(host, "addr", "replace", ownAddress(host)+"/32", "dev", "eth0") })
	}
}

// dialFrom has a host call from an address.
func (n *namespaceNet) dialFrom(host int, address string) error {
	return n.ip(host, "route", "replace", "192.0.2.0/24", "dev", "eth0", "src", address)
}

// move has both hosts of a twin call from addresses of their own, or takes the second host away.
func (n *namespaceNet) move(f plannedFault, by int) error {
	i := f.nodes[0]
	if by > 0 {
		return steps{
			func() error { return n.dialFrom(i, ownAddress(i)) },
			func() error { return n.dialFrom(twinHost, ownAddress(twinHost)) },
		}.run()
	}
	if err := n.ip(twinHost, "addr", "del", n.host(i)+"/32", "dev", "eth0"); err != nil {
		return err // the other hosts would find it again
	}
	undo := steps{func() error { return n.dialFrom(i, n.host(i)) }}
	for j := range faultNodes + 1 {
		if j != i {
			undo.add(func() error { return n.ip(j, "neigh", "del", n.host(i), "dev", n.device(j)) })
		}
	}
	return undo.run()
}

func (n *namespaceNet) device(i int) string {
	if i == 0 {
		return "bridge"
	}
	return "eth0"
}

// neighbour fixes the hardware address that host i sends to for an address.
func (n *namespaceNet) neighbour(i int, address, mac string) error {
	return n.ip(i, "neigh", "replace", address, "lladdr", mac, "nud", "permanent", "dev", n.device(i))
}
