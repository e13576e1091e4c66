// Package wire carries calls between two nodes over one authenticated TCP connection.
//
// The path of one call: [Session.Call] adds it to the columns of the batch that is being filled;
// a writer encodes the whole batch as one gob message and writes it as one frame of a yamux stream;
// the peer's reader decodes it and gives each call to its [Handler]; the answers take the same way
// back on the same stream, and wake their callers. So the cost of a message is shared by all the
// calls in flight, and 1,024 of them cost little more than one.
//
// Values of more than 32 KiB have a second stream, both ways, so that the others need not wait behind them: yamux sends
// 32 KiB of each in turn.
//
// While messages come in quick succession, who reads them polls before it sleeps: poll.go tells when, and what that may cost.
//
// Below that lies the handshake ([Dial], [Listener]): TLS 1.3 with a throw-away certificate, then
// each side proves that it knows the cluster's cookie by HMAC-SHA-256 over a key exported from that
// TLS session (RFC 9266 calls this channel binding), so a man in the middle, who has two TLS
// sessions, can relay neither proof. Only then is any gob decoded. A hello follows with protocol
// versions, name, incarnation and role, and the acceptor admits or refuses it with a reason.
//
// A Session is symmetric: each side may call the other. Rare operations (joining, listing) take a
// stream of their own each, by [Session.Do].
//
// Package wire knows nothing of ids, owners or workers, never logs, and starts no goroutine that
// Close does not wait for.
package wire

import (
	"time"
)

// Limits of what a peer can make this side hold, and of how long it can make it wait.
const (
	MaxValue   = 1 << 20           // bytes of one value
	MaxMessage = MaxValue + 64<<10 // bytes of one encoded message
	maxBatch   = 4096              // calls or replies in one message
	maxData    = 256 << 10         // a batch with this many bytes of values is full
	largeValue = 32 << 10          // a value with more bytes goes on the stream for large ones
	maxCalls   = 1 << 16           // calls in flight on one session, each way
	maxStreams = 256               // streams that are open on a session: two for calls each way, the rest operations
	chunkSize  = 32 << 10          // bytes that have to move within giveUp, or the peer is lost
	maxPending = 256               // connections that have not authenticated yet
	hostShare  = maxPending / 16   // of them from one host, before it makes room for others
	maxText    = 4096              // bytes of an error's text
	maxKind    = 64                // bytes of the name of a kind
	maxTrace   = 128               // bytes of a trace
	maxType    = 256               // bytes of a media type
	maxLogText = 200               // bytes of an error's text before its peer has authenticated

	// What a peer may send before it has proved the cookie: its ClientHello takes 2 KiB, and a
	// certificate of mutual TLS, with those of the authorities between, some more.
	maxClientHello = 16 << 10 // bytes
	maxUnproved    = 48 << 10 // bytes after that

	handshakeTimeout  = 3 * time.Second
	helloTimeout      = handshakeTimeout / 2   // of it, for the ClientHello, which follows the connection at once
	acceptPause       = 50 * time.Millisecond  // after an error, before the next connection is accepted
	troubleEpisode    = time.Minute            // errors of accept that are closer together are one trouble
	keepAliveInterval = 1 * time.Second        // how often a peer that is in use is asked for a sign of life …
	giveUp            = 2 * time.Second        // … and how long it may take: a paused peer is lost after 3 s
	finishTime        = 500 * time.Millisecond // for a session that closes to give its last answers
	maxSilence        = 15                     // intervals after which an idle one is asked
)

// The range of protocol versions that this package speaks. Since version 2 large values have a stream of their own.
const (
	minVersion = 1
	maxVersion = 2
)

// A Role tells what a peer is to the cluster.
type Role uint8

const (
	RoleMember Role = iota // owns ids
	RoleClient             // owns nothing: a console
	RoleLink               // a member that wants a [Link] instead of a [Session]
)

// Hello is how a peer introduces itself.
type Hello struct {
	MinVersion, MaxVersion uint16 // protocol versions spoken; set by this package

	Name        string // identity, NAME@HOST; a client's is free
	Addr        string // where it listens, host:port; a client's is empty
	Incarnation uint64 // of the process: a later start has a higher one
	Role        Role
	Epoch       uint64 // of its view of the cluster
	Routing     string // how it chooses owners, on which all members must agree
}

// A Member is a node as one peer tells another.
type Member struct {
	Name        string
	Addr        string
	Incarnation uint64
	State       MemberState
	Age         time.Duration // how long it has been in that state, if it is not alive
}

// A MemberState is what has become of a member. Numbers are only ever appended.
type MemberState uint8

const (
	Alive  MemberState = iota // it can be reached
	Failed                    // it cannot be reached; it keeps its seat
	Left                      // it said that it leaves
	Reaped                    // it had failed for so long that its seat was taken
)

// A Request is a call as it crosses the wire.
type Request struct {
	Kind   string // "" is the default kind
	Num    int64  // the id, if it is a small integer
	Text   string // the id, if IsText
	IsText bool
	Route  bool   // the peer shall find the owner and ask it; otherwise it must be the owner
	Relay  bool   // the peer shall ask the owner itself, and nobody else, as the caller cannot reach it
	Fresh  bool   // not from a value that the worker has already
	Trace  string // what it is part of, as W3C traceparent; empty if that is not known

	Chain string // workers that wait for the answer, as the callers have them; older peers ignore it

	IsCall bool   // it brings the worker a message, which the rest is
	Data   string // at most MaxValue bytes
	IsInt  bool   // Data is a decimal integer
	Type   string // media type of Data, "" if it is not known
}

// A Reply is an answer as it crosses the wire. Durations are cut to milliseconds.
type Reply struct {
	Data     string // the value, at most MaxValue bytes
	IsInt    bool   // Data is a decimal integer
	Type     string // media type of Data, "" if it is not known
	Cached   bool
	Stale    bool
	Degraded bool
	Node     string // who answered, if not the peer itself
	Via      string // the member that the request was passed on by, "" if there was none
	Age      time.Duration
	TTL      time.Duration

	// How long the call took, as the caller has it; it does not cross. It counts from when the first call of its batch came
	// until those answers were read that came with its own: the clock is read once for all of them.
	Took time.Duration
}
