// Package node runs one node of a cluster in which every id has one place.
//
// A program starts a node, says what its workers do, and joins the others:
//
//	n, err := node.Start(node.Config{
//		Name:   "2@10.0.0.2",
//		Cookie: cookie, // the secret that all nodes share: see LoadCookies
//		Default: worker.Cache{
//			Load: func(ctx context.Context, id worker.ID) (worker.Value, error) {
//				price, err := lookUp(ctx, id.String())
//				return worker.BytesValue(price), err
//			},
//			TTL: time.Minute,
//		},
//	})
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer n.Close(context.Background())
//	if err := n.Join(ctx, "1@10.0.0.1"); err != nil {
//		log.Fatal(err)
//	}
//	reply, err := n.Request(ctx, worker.IntID(7)) // from the node that 7 belongs to
//
// [Attach] reaches a cluster from a program that is no member of it. [Node.Family] names
// a kind of workers: those of a [worker.Cache] have values to request, those of a
// [worker.Serial] take calls.
//
// # Guarantees
//
// Not guaranteed: nodes that cannot reach each other, as when the network is split, may
// each have a worker of one id, a serial one included; so may a process that was
// paused, for the message that it had begun. A kind that is Strict has no two workers
// of an id even then, and none while too few voters can be reached. A value may be as
// old as its kind allows. Nothing is on disk but the names of members: values and
// servers are gone with their node.
//
// Guaranteed: on one node an id has at most one worker. While all nodes reach each other,
// an id has one place in the cluster: a server starts only after every member that can be
// reached has said that it has none of that id. A request does not fail because a node
// died: a worker of another node answers, and the reply is marked Degraded. Messages are
// delivered at most once. Every error has an outcome, [worker.OutcomeNotRun],
// [worker.OutcomeRan] or [worker.OutcomeUnknown]; only what did not run is tried again.
// Queues, values in memory and everything that a peer makes a node keep are bounded.
//
// # Shutdown
//
// Close first what brings calls, such as a [net/http.Server] or a gateway; then the node.
// [Node.Close] hands cached values off, ends the servers, tells the others, and waits
// for the calls that run. A [Client] can be closed at any time.
//
// # The path of a request
//
// [Node.Request] (request.go) asks the router (internal/route). The newest view
// (internal/members) has a ring (package placement), which names the member that acts for
// the id: its owner, or a fallback while that has failed. If that is this node, its
// registry (internal/kinds, internal/registry) finds the live worker or starts one.
// Otherwise the request crosses in a batch of the session to that member (internal/peers,
// package wire), whose serve.go asks the registry there. That node never forwards.
//
// # Packages
//
// Each knows only those above it in this list:
//
//   - wire/text, internal/trace: texts for people, and the trace of a call
//   - worker: ids, values, replies, what a kind of worker is, outcomes of calls
//   - placement: names of nodes, and which of them owns an id
//   - internal/clock, chain: deadlines and standstills; calls that would wait for themselves
//   - internal/registry: the workers of one kind on this node; strict ones ask a guard
//   - internal/quorum: views and leases of strict kinds, by raft; its model checks the rules
//   - internal/handoff: cached answers on their way to the new owners of their ids
//   - internal/kinds: the registries of all kinds
//   - internal/protocol: the operations that nodes ask of one another
//   - internal/peers: the session to each peer, and what calls tell of its health
//   - internal/audit: what the log tells of who does what
//   - gossip: which nodes are alive
//   - internal/members: the views of the cluster, and who is let in
//   - internal/claim: that no other node has a server of an id
//   - internal/route: the path of a request and of a call
//   - internal/strict: the quorum's messages over sessions and links of the node
//   - internal/client: how a program that is no member reaches a cluster
//   - node: the life of a node, what it serves, and what it tells of itself
//
// The package comment of each lists its invariants, with their tests. Around them, source
// makes sources of configuration, gateway answers HTTP, metrics publishes [Stats], and
// boundedlog keeps the log from holding this up. voters has what Client.Voters returns.
//
// # Glossary
//
//   - slot: the place of a member in the sorted list of members; ids belong to slots
//   - owner: the member whose slot an id belongs to
//   - fallback: the member that acts for an owner that has failed
//   - acting member, the place of an id: the owner or its fallback
//   - view: a snapshot of the members; its epoch is a digest of it
//   - kind: what workers do, and within which limits; a cache or serial
//   - server: the worker of an id of a serial kind
//   - claim: the check that no other node has a server of an id
//   - barrier: the question to all members by which a node makes sure of its claims
//   - handoff: cached values moving to the new owner of their ids
//   - apart: the state of a node that was disconnected and may not serve serial kinds
//   - incarnation: one process of a node, by its time of start
//   - twin: another process with the name of a node
package node
