package registry

import "github.com/distproc/distproc/node/worker"

// num returns the integer of an id that is one.
func num(id worker.ID) int64 {
	n, _ := id.Int64()
	return n
}
