package metrics

import (
	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// families is the table of all metrics of a node. It has no counter of successful loads,
// which are distproc_load_duration_seconds_count less distproc_load_failures_total. A
// counter of their difference could decrease, because the counts of a snapshot are not
// read at the same moment.
func families() []family {
	return []family{
		ofKinds("requests_total", "Requests made on this node, by its own program or clients: answered by a worker here (local), by another node (remote), in place of an owner out of reach (degraded), or not (error, with its code).",
			requests(), "result", "code"),
		ofKinds("requests_stale_total", "Requests made on this node that were answered from a value past its time, as the kind allows; requests_total has them, too.",
			func(k *worker.Stats, to sink) { to.counter(k.Stale, k.Kind) }),
		ofKinds("request_duration_seconds", "Time that requests made on this node took, in seconds, failed ones included; those answered from a value here count as 0.",
			func(k *worker.Stats, to sink) { to.histogram(&k.Latency, k.Kind) }),
		ofKinds("load_duration_seconds", "Time that runs of a source, or of a server's Call, took on this node, in seconds, failed ones included.",
			func(k *worker.Stats, to sink) { to.histogram(&k.Loads, k.Kind) }),
		ofKinds("load_failures_total", "Runs of a source, or of a server's Call, that failed on this node.",
			func(k *worker.Stats, to sink) { to.counter(k.LoadErrs, k.Kind) }),
		ofKinds("workers", "Live workers on this node.",
			func(k *worker.Stats, to sink) { to.gauge(k.Workers, k.Kind) }),
		ofKinds("workers_expired_total", "Workers of this node whose time was up.",
			func(k *worker.Stats, to sink) { to.counter(k.Expired, k.Kind) }),
		ofKinds("workers_evicted_total", "Workers of this node that went before their time, to free memory.",
			func(k *worker.Stats, to sink) { to.counter(k.Evicted, k.Kind) }),
		ofKinds("value_bytes", "Memory that the values of this node's workers take, in bytes, about.",
			func(k *worker.Stats, to sink) { to.gauge(int(k.Bytes), k.Kind) }),
		ofKinds("runs", "Runs of a source, or of a server's Call, on this node: going on (running), or waiting for others to end (queued).",
			func(k *worker.Stats, to sink) {
				to.gauge(k.Running, k.Kind, "running")
				to.gauge(k.Queued, k.Kind, "queued")
			}, "state"),
		ofKinds("stuck_runs", "Runs of a source, or of a server's Call, on this node that go on although their time was up a second ago.",
			func(k *worker.Stats, to sink) { to.gauge(k.Stuck, k.Kind) }),
		ofKinds("fenced_total", "Runs of a strict kind on this node whose lease ended, or whose id was given up by force, before they ended.",
			func(k *worker.Stats, to sink) {
				if k.Strict {
					to.counter(k.Fenced, k.Kind)
				}
			}),
		ofKinds("waiting_calls", "Calls that wait for a worker on this node.",
			func(k *worker.Stats, to sink) { to.gauge(k.Waiting, k.Kind) }),

		of("members", "Members of the cluster, this node included, by what this node thinks of them.", members, "state"),
		of("sessions", "Open sessions to other members, and of clients.",
			func(s *node.Stats, to sink) { to.gauge(s.Sessions) }),
		of("received_bytes_total", "Bytes received on all connections to nodes and clients, as TCP carries them, encrypted.",
			func(s *node.Stats, to sink) { to.counter(s.BytesIn) }),
		of("sent_bytes_total", "Bytes sent on all connections to nodes and clients, as TCP carries them, encrypted.",
			func(s *node.Stats, to sink) { to.counter(s.BytesOut) }),
		of("connections_refused_total", "Connections that this node turned away, for want of the cookie or another reason.",
			func(s *node.Stats, to sink) { to.counter(s.Refused) }),
		of("answers_handed_over_total", "Answers that went to other nodes as their ids moved (sent), and that should have (lost).",
			func(s *node.Stats, to sink) {
				to.counter(s.HandedOff, "sent")
				to.counter(s.HandOffLost, "lost")
			}, "result"),

		ofQuorum("lease_seconds_left", "Time for which this node may start calls of strict kinds without another renewal of its lease, in seconds; 0 without a lease.",
			func(q *worker.Quorum, to sink) { to.seconds(q.Lease) }),
		ofQuorum("quorum", "1 if a leader of the voters has answered this node within the time of a lease, otherwise 0.",
			func(q *worker.Quorum, to sink) { to.gauge(oneIf(q.Quorum)) }),
		ofQuorum("quorum_leader", "1 if this node leads the voters, otherwise 0.",
			func(q *worker.Quorum, to sink) { to.gauge(oneIf(q.Leads)) }),
		ofQuorum("quorum_voters", "Voters, as far as this node knows.",
			func(q *worker.Quorum, to sink) { to.gauge(len(q.Voters)) }),
		ofQuorum("quorum_voters_silent", "Voters that did not answer this node when it asked them last; 0 with a quorum, as only the leader is asked then.",
			func(q *worker.Quorum, to sink) { to.gauge(len(q.Silent)) }),
		ofQuorum("view_epoch", "Epoch of the newest view of the cluster that this node acts on for strict kinds; 0 without one.",
			func(q *worker.Quorum, to sink) { to.gauge(int(q.Epoch)) }),
		ofQuorum("views", "Views that are not retired: 1, and more while members change or one is lost.",
			func(q *worker.Quorum, to sink) { to.gauge(q.Views) }),
		ofQuorum("views_total", "Views that were the newest one of this node.",
			func(q *worker.Quorum, to sink) { to.counter(q.ViewsSeen) }),
		ofQuorum("elections_total", "Terms in which this node has begun to lead the voters.",
			func(q *worker.Quorum, to sink) { to.counter(q.Elections) }),
	}
}

func oneIf(b bool) int {
	if b {
		return 1
	}
	return 0
}

// usual lists the errors that a healthy cluster may meet. They are exported with 0 before
// the first one occurs, so that a rate includes the first one.
var usual = [...]wire.Code{wire.Overloaded, wire.DeadlineExceeded, wire.Canceled, wire.SourceFailed, wire.Panicked, wire.Unreachable}

// requests exports the outcomes of requests. An error that package wire does not know,
// from a newer peer, is "other".
func requests() func(*worker.Stats, sink) {
	known := map[string]bool{}
	for _, c := range wire.Codes() {
		known[c.Error()] = true
	}
	return func(k *worker.Stats, to sink) {
		to.counter(k.Local, k.Kind, "local", "")
		to.counter(k.Remote, k.Kind, "remote", "")
		to.counter(k.Degraded, k.Kind, "degraded", "")
		failed := map[string]uint64{}
		for _, c := range usual {
			failed[c.Error()] = 0
		}
		if k.Strict {
			failed[wire.NoQuorum.Error()], failed[wire.Fenced.Error()] = 0, 0
		}
		for code, n := range k.Failed {
			if !known[code] {
				code = "other"
			}
			failed[code] += n
		}
		for code, n := range failed {
			to.counter(n, k.Kind, "error", code)
		}
	}
}

// states lists the states of members. A state without members is exported as 0.
var states = [...]node.State{node.StateAlive, node.StateFailed, node.StateStuck}

func members(s *node.Stats, to sink) {
	for _, state := range states {
		to.gauge(s.Members[state], state.String())
	}
}
