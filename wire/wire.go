// Package wire carries calls between two nodes over one authenticated TCP connection.
//
// The path of one call: [Session.Call] adds the call to the columns of the current batch.
// A writer encodes the whole batch as one gob message and writes it as one frame of a
// yamux stream. The peer's reader decodes the batch and passes each call to its
// [Handler]. The answers return in the same way on the same stream, and wake their
// callers. So all calls in flight share the cost of a message.
//
// Values of more than 32 KiB use a second stream, in both directions, so that other calls
// do not wait behind them: yamux sends 32 KiB of each stream in turn.
//
// While messages arrive in quick succession, the reader polls briefly before it blocks;
// see poll.go.
//
// Below that is the handshake ([Dial], [Listener]): TLS 1.3 with a throw-away
// certificate. Then each side proves that it knows the cluster's cookie, by HMAC-SHA-256
// over a key exported from the TLS session (channel binding, RFC 9266). A man in the
// middle has two TLS sessions, so it cannot relay either proof. No gob is decoded before
// that. An acceptor may accept several cookies, so that the cookie of a running cluster can
// change: see package cookie. Then the dialer sends a hello with its protocol versions,
// name, incarnation and role. The acceptor admits it, or refuses it with a reason.
//
// A Session is symmetric: each side may call the other. Rare operations (joining,
// listing) use [Session.Do], which opens a stream for each of them.
//
// The types of messages are those of distproc: a [Request] names the kind and the id of a
// worker, a [Hello] and a [Member] describe nodes, and some codes of errors are about
// workers. Package wire bounds these fields and carries them. It has no workers, views or
// owners itself, and decides nothing by an id.
//
// Package wire never logs, and starts no goroutine that Close does not wait for.
package wire

import (
	"time"
)

// Limits of the memory that a peer can use on this side, and of how long it can delay
// this side.
const (
	MaxValue   = 1 << 20           // bytes of one value
	MaxMessage = MaxValue + 64<<10 // bytes of one encoded message
	maxBatch   = 4096              // calls or replies in one message
	maxData    = 256 << 10         // a batch with this many bytes of values is full
	largeValue = 32 << 10          // bytes; larger values use the stream for large ones
	maxCalls   = 1 << 16           // calls in flight on one session, each way
	maxStreams = 256               // open streams of a session: 4 for calls, the rest for operations
	chunkSize  = 32 << 10          // bytes that must move within giveUp, or the session ends
	maxPending = 256               // connections that have not authenticated yet
	hostShare  = maxPending / 16   // of these from one host, before it makes room for others
	maxText    = 4096              // bytes of an error's text
	maxKind    = 64                // bytes of the name of a kind
	maxTrace   = 128               // bytes of a traceparent
	maxBaggage = 3 << 10           // bytes of what a trace has besides
	maxType    = 256               // bytes of a media type
	maxLogText = 200               // bytes of an error's text before its peer has authenticated

	// Bytes that a peer may send before it has proved the cookie. A ClientHello takes
	// about 2 KiB. The certificates of mutual TLS take some more.
	maxClientHello = 16 << 10 // bytes
	maxUnproved    = 48 << 10 // bytes after that

	handshakeTimeout  = 3 * time.Second
	helloTimeout      = handshakeTimeout / 2   // of it, for the ClientHello
	acceptPause       = 50 * time.Millisecond  // after an error, before the next connection is accepted
	troubleEpisode    = time.Minute            // errors of accept that are closer together are reported once
	keepAliveInterval = 1 * time.Second        // between pings of a peer that is in use
	giveUp            = 2 * time.Second        // for the answer: a paused peer is lost after 3 s
	finishTime        = 500 * time.Millisecond // for a closing session to send its last answers
	maxSilence        = 15                     // intervals between pings of an idle peer
)

// The protocol versions that this package speaks, and distproc version shows. Version 2
// adds the stream for large values. See README.md for what needs a new version.
const (
	minVersion = 1
	maxVersion = 2
)

// A Role is the part that a peer plays in the cluster.
type Role uint8

const (
	RoleMember Role = iota // owns ids
	RoleClient             // owns nothing: a shell or another client
	RoleLink               // a member that wants a [Link] instead of a [Session]
	RoleVoter              // a voter that wants a [Link] for the log of the voters
)

// Hello is how a peer introduces itself.
type Hello struct {
	MinVersion, MaxVersion uint16 // protocol versions spoken; set by this package

	Name        string // identity, NAME@HOST; a client's is free
	Addr        string // where it listens, host:port; a client's is empty
	Incarnation uint64 // of the process: a later start has a higher one
	Role        Role
	Routing     string // rule that chooses owners; all members must have the same
}

// A Member describes a node to a peer.
type Member struct {
	Name        string
	Addr        string
	Incarnation uint64
	State       MemberState
	Age         time.Duration // time in that state, if it is not alive
}

// A MemberState is the state of a member. New states are appended; a number is never
// reused.
type MemberState uint8

const (
	Alive  MemberState = iota // it can be reached
	Failed                    // it cannot be reached; it keeps its slot
	Left                      // it has left by itself
	Reaped                    // it had failed for so long that it lost its slot
)

// A Request is a call as it crosses the wire.
type Request struct {
	Kind    string // "" is the default kind
	Num     int64  // the id, if it is a small integer
	Text    string // the id, if IsText
	IsText  bool
	Forward bool   // the peer forwards the call to the owner; otherwise it must be the owner
	Relay   bool   // the peer forwards the call to the owner only, which the caller cannot reach
	Fresh   bool   // load the value anew
	Trace   string // W3C traceparent, and maybe more after a newline; may be empty

	Chain string // workers that wait for the answer; older peers ignore it

	IsCall bool   // the call has a message: Data, IsInt and Type
	Data   string // at most MaxValue bytes
	IsInt  bool   // Data is a decimal integer
	Type   string // media type of Data; "" if unknown
}

// A Reply is an answer as it crosses the wire. Its durations lose fractions of a
// millisecond.
type Reply struct {
	Data     string // the value, at most MaxValue bytes
	IsInt    bool   // Data is a decimal integer
	Type     string // media type of Data; "" if unknown
	Cached   bool
	Stale    bool
	Degraded bool
	Node     string // the node that answered, if not the peer
	Via      string // the member that forwarded the call; "" if none did
	Age      time.Duration
	TTL      time.Duration
	Epoch    uint64 // with Count the token of the call of a strict kind; else 0
	Count    uint64

	// Duration of the call as measured by the caller; it does not cross the wire. It
	// starts with the first call of the batch and ends when the batch of answers has been
	// read, so that one clock read serves all of them.
	Took time.Duration
}
