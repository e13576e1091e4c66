//go:build race

package gossip

// racing: the race detector is on, which holds 8,128 goroutines at most. A hundred nodes
// have more.
const racing = true
