package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/distproc/distproc/wire/text"
)

// A batch crosses as columns, one slice a field, because gob encodes a slice of numbers
// in one tight loop and a slice of structs by reflection. A column may be shorter than
// Seq: what is missing is zero, so a field that no call of the batch uses costs nothing.
// Numbers are kept small, because gob writes one below 128 as a byte: times are in
// milliseconds, and Seq crosses as differences.

type callBatch struct {
	Seq     []uint64
	Flags   []uint8
	Num     []int64
	Text    []string
	Kind    []string
	Timeout []uint64 // milliseconds that remain
	Cancel  []uint64 // calls of earlier batches whose callers have given up
	Trace   []string
	Len     []uint32 // of each message in Data
	Data    []byte
	Type    []string // media types
	Chain   []string
	Baggage []string // what a trace has besides its traceparent; older peers ignore it

	began  time.Duration // when its first call came
	weight int           // approximate upper bound of the encoded size in bytes
	read   int           // bytes of Data that request has returned
}

const (
	callText    = 1 << iota // the id is in Text
	callForward             // find the owner and ask it
	callVoid                // withdrawn before it was sent
	callFresh               // load the value anew
	callMessage             // there is a message for the worker
	callInt                 // the message is an integer
	callRelay               // ask the owner, and nobody else
)

type replyBatch struct {
	Seq     []uint64
	Code    []uint16
	Outcome []uint8
	Flags   []uint8
	Age     []uint64 // milliseconds
	TTL     []uint64 // milliseconds
	Tokens  []byte   // epoch and count, as [binary.AppendUvarint] has them, of each reply with one
	Len     []uint32 // of each value in Data
	Data    []byte
	Type    []string // media types
	Node    []string
	Via     []string
	Text    []string // of errors
	Members []Member // the view behind every NotOwner of the batch

	// With Goodbye, the peer takes no calls after these numbers, on the stream for small
	// messages and on the one for large messages. Older peers ignore it.
	Goodbye         bool
	Last, LastLarge uint64

	values []string // become Data in pack, so that they are copied only when they are sent
	weight int      // approximate upper bound of the encoded size in bytes
}

const (
	replyInt = 1 << iota
	replyCached
	replyDegraded
	replyStale
	replyToken // it has one in Tokens
)

// weightOf is the largest encoded size of the numbers of one call or reply, in bytes.
const weightOf = 64

// pack replaces numbers by differences before encoding.
func pack(seq []uint64) {
	for i := len(seq) - 1; i > 0; i-- {
		seq[i] -= seq[i-1]
	}
}

// unpack replaces differences by numbers after decoding.
func unpack(seq []uint64) {
	for i := 1; i < len(seq); i++ {
		seq[i] += seq[i-1]
	}
}

// millis cuts a duration to milliseconds.
func millis(d time.Duration) uint64 { return uint64(max(0, d.Milliseconds())) }

// fromMillis returns a duration of so many milliseconds. It is at most a century, so that
// a hostile number does not overflow.
func fromMillis(ms uint64) time.Duration {
	return time.Duration(min(ms, 100*365*24*3600*1000)) * time.Millisecond
}

// put sets column[i], which must not be set yet. A zero value does not extend the column.
func put[T comparable](column []T, i int, v T) []T {
	var zero T
	if v == zero {
		return column
	}
	for len(column) < i {
		column = append(column, zero)
	}
	return append(column, v)
}

// at returns column[i], or zero if the column ends before it.
func at[T any](column []T, i int) (v T) {
	if i < len(column) {
		v = column[i]
	}
	return v
}

func (b *callBatch) size() int  { return len(b.Seq) + len(b.Cancel) }
func (b *callBatch) full() bool { return b.size() >= maxBatch || b.weight >= maxData }

// takes reports whether the batch has room for so many more bytes.
func (b *callBatch) takes(n int) bool {
	return !b.full() && (b.size() == 0 || b.weight+n <= MaxValue)
}
func (b *callBatch) pack() { pack(b.Seq) }

func (b *callBatch) reset() {
	clear(b.Text)
	clear(b.Kind)
	clear(b.Trace)
	clear(b.Type)
	clear(b.Chain)
	clear(b.Baggage)
	*b = callBatch{Seq: b.Seq[:0], Flags: b.Flags[:0], Num: b.Num[:0], Text: b.Text[:0], Kind: b.Kind[:0],
		Timeout: b.Timeout[:0], Cancel: b.Cancel[:0], Trace: b.Trace[:0], Len: b.Len[:0], Data: emptied(b.Data), Type: b.Type[:0], Chain: b.Chain[:0], Baggage: b.Baggage[:0]}
}

// emptied returns an empty column of values. It does not keep the memory of large ones.
func emptied(data []byte) []byte {
	if cap(data) > 2*maxData {
		return nil
	}
	return data[:0]
}

func (b *callBatch) add(seq uint64, r *Request, timeout time.Duration) {
	i := len(b.Seq)
	var flags uint8
	if r.IsText {
		flags |= callText
	}
	if r.Forward {
		flags |= callForward
	}
	if r.Fresh {
		flags |= callFresh
	}
	if r.Relay {
		flags |= callRelay
	}
	if r.IsCall {
		flags |= callMessage
	}
	if r.IsInt {
		flags |= callInt
	}
	b.Seq = append(b.Seq, seq)
	b.Flags = put(b.Flags, i, flags)
	b.Num = put(b.Num, i, r.Num)
	b.Timeout = put(b.Timeout, i, max(1, millis(timeout)))
	b.weight += weightOf
	if texts := len(r.Text) + len(r.Kind) + len(r.Trace) + len(r.Data) + len(r.Type) + len(r.Chain); texts > 0 {
		b.addTexts(i, r)
		b.weight += texts
	}
}

// addTexts adds the fields that most calls leave empty.
func (b *callBatch) addTexts(i int, r *Request) {
	b.Text = put(b.Text, i, r.Text)
	b.Kind = put(b.Kind, i, r.Kind)
	parent, baggage, _ := strings.Cut(r.Trace, "\n")
	b.Trace, b.Baggage = put(b.Trace, i, parent), put(b.Baggage, i, baggage)
	if len(r.Data) > 0 {
		b.Len = put(b.Len, i, uint32(len(r.Data)))
		b.Data = append(b.Data, r.Data...)
	}
	b.Type = put(b.Type, i, r.Type)
	b.Chain = put(b.Chain, i, r.Chain)
}

// void withdraws call i.
func (b *callBatch) void(i int) {
	for len(b.Flags) <= i {
		b.Flags = append(b.Flags, 0)
	}
	b.Flags[i] = callVoid
}

// request returns call i. It must be called for every call in order, because it reads on
// in Data.
func (b *callBatch) request(i int) Request {
	flags := at(b.Flags, i)
	message := b.Data[b.read:][:at(b.Len, i)]
	b.read += len(message)
	return Request{
		Kind:    at(b.Kind, i),
		Num:     at(b.Num, i),
		Text:    at(b.Text, i),
		IsText:  flags&callText != 0,
		Forward: flags&callForward != 0,
		Relay:   flags&callRelay != 0,
		Fresh:   flags&callFresh != 0,
		Trace:   joined(at(b.Trace, i), at(b.Baggage, i)),
		IsCall:  flags&callMessage != 0,
		Data:    string(message),
		IsInt:   flags&callInt != 0,
		Type:    at(b.Type, i),
		Chain:   at(b.Chain, i),
	}
}

// joined returns a trace as a Request has it.
func joined(parent, baggage string) string {
	if parent == "" || baggage == "" {
		return parent
	}
	return parent + "\n" + baggage
}

// unpack completes the decoding of a batch. It refuses columns that break the protocol.
func (b *callBatch) unpack() error {
	unpack(b.Seq)
	n := len(b.Seq)
	if b.size() > 2*maxBatch || max(len(b.Flags), len(b.Num), len(b.Text), len(b.Kind), len(b.Timeout),
		len(b.Trace), len(b.Len), len(b.Type), len(b.Chain), len(b.Baggage)) > n {
		return fmt.Errorf("batch of %d calls with columns that do not fit", n)
	}
	if sum := total(b.Len); sum != uint64(len(b.Data)) {
		return fmt.Errorf("batch of %d calls with %d bytes of messages, not %d", n, len(b.Data), sum)
	}
	for i, l := range b.Len {
		if l > 0 && at(b.Flags, i)&(callMessage|callVoid) == 0 {
			return fmt.Errorf("call of a batch has no message, but %d bytes of one", l)
		}
	}
	if longest(b.Kind) > maxKind || longest(b.Trace) > maxTrace || longest(b.Baggage) > maxBaggage || longest(b.Type) > maxType {
		return errors.New("call of a batch with a kind, a trace or a media type that is too long")
	}
	return nil
}

// longest returns the length of the longest text.
func longest(texts []string) (most int) {
	for _, t := range texts {
		most = max(most, len(t))
	}
	return most
}

func total(lengths []uint32) (sum uint64) {
	for _, l := range lengths {
		sum += uint64(l)
	}
	return sum
}

func (b *replyBatch) size() int {
	if b.Goodbye {
		return len(b.Seq) + 1
	}
	return len(b.Seq)
}

func (b *replyBatch) full() bool { return b.size() >= maxBatch || b.weight >= maxData }

// takes reports whether the batch has room for so many more bytes.
func (b *replyBatch) takes(n int) bool {
	return !b.full() && (b.size() == 0 || b.weight+n <= MaxValue)
}

func (b *replyBatch) pack() {
	pack(b.Seq)
	for _, v := range b.values {
		b.Data = append(b.Data, v...)
	}
}

// emptyValue removes the value of reply i. The batch must have values only.
func (b *replyBatch) emptyValue(i int) {
	held.release(b.values[i])
	b.values[i], b.Len[i] = "", 0
}

// release releases the values in held.
func (b *replyBatch) release() {
	for _, v := range b.values {
		held.release(v)
	}
	clear(b.values)
	b.values = b.values[:0]
}

func (b *replyBatch) reset() {
	b.release()
	clear(b.Type)
	clear(b.Node)
	clear(b.Via)
	clear(b.Text)
	*b = replyBatch{Seq: b.Seq[:0], Code: b.Code[:0], Outcome: b.Outcome[:0], Flags: b.Flags[:0],
		Age: b.Age[:0], TTL: b.TTL[:0], Tokens: b.Tokens[:0], Len: b.Len[:0], Data: emptied(b.Data), Type: b.Type[:0], Node: b.Node[:0], Via: b.Via[:0], Text: b.Text[:0], values: b.values}
}

// add adds a reply whose value the caller has reserved in held.
func (b *replyBatch) add(seq uint64, r *Reply) {
	i := len(b.Seq)
	var flags uint8
	if r.IsInt {
		flags |= replyInt
	}
	if r.Cached {
		flags |= replyCached
	}
	if r.Degraded {
		flags |= replyDegraded
	}
	if r.Stale {
		flags |= replyStale
	}
	if r.Epoch != 0 {
		flags |= replyToken
		b.Tokens = binary.AppendUvarint(binary.AppendUvarint(b.Tokens, r.Epoch), r.Count)
	}
	b.Seq = append(b.Seq, seq)
	b.Flags = put(b.Flags, i, flags)
	b.Age = put(b.Age, i, millis(r.Age))
	b.TTL = put(b.TTL, i, millis(r.TTL))
	b.Len = put(b.Len, i, uint32(len(r.Data)))
	b.values = append(b.values, r.Data)
	b.Type = put(b.Type, i, r.Type)
	b.Node = put(b.Node, i, r.Node)
	b.Via = put(b.Via, i, r.Via)
	b.weight += weightOf + len(r.Data) + len(r.Type) + len(r.Node) + len(r.Via)
}

func (b *replyBatch) addError(seq uint64, e *Error) {
	i := len(b.Seq)
	b.Seq = append(b.Seq, seq)
	b.Code = put(b.Code, i, uint16(e.Code))
	b.Outcome = put(b.Outcome, i, uint8(e.Outcome))
	b.Node = put(b.Node, i, e.Node)
	b.Text = put(b.Text, i, text.Line(e.Text, maxText))
	b.weight += weightOf + len(e.Node) + len(e.Text)
	if len(e.Members) > 0 {
		b.Members = e.Members
	}
}

// unpack completes the decoding of a batch. It refuses columns that break the protocol.
func (b *replyBatch) unpack() error {
	unpack(b.Seq)
	n := len(b.Seq)
	if n > maxBatch || max(len(b.Code), len(b.Outcome), len(b.Flags), len(b.Age), len(b.TTL), len(b.Len),
		len(b.Type), len(b.Node), len(b.Via), len(b.Text)) > n {
		return fmt.Errorf("batch of %d replies with columns that do not fit", n)
	}
	if sum := total(b.Len); sum != uint64(len(b.Data)) {
		return fmt.Errorf("batch of %d replies with %d bytes of values, not %d", n, len(b.Data), sum)
	}
	rest, ok := b.Tokens, true
	for _, flags := range b.Flags {
		if flags&replyToken != 0 && ok {
			_, _, rest, ok = cutToken(rest)
		}
	}
	if !ok || len(rest) > 0 {
		return fmt.Errorf("batch of %d replies with %d bytes of tokens that do not fit", n, len(b.Tokens))
	}
	return nil
}

// cutToken returns the first token of a batch, and the bytes of the others. Ok is false if it
// is incomplete.
func cutToken(tokens []byte) (epoch, count uint64, rest []byte, ok bool) {
	epoch, n := binary.Uvarint(tokens)
	if n <= 0 {
		return 0, 0, nil, false
	}
	count, m := binary.Uvarint(tokens[n:])
	if m <= 0 {
		return 0, 0, nil, false
	}
	return epoch, count, tokens[n+m:], true
}

// A replyReader iterates over the replies of a batch.
type replyReader struct {
	b      *replyBatch
	peer   string
	data   string // of the replies to come
	tokens []byte // of the replies to come
	i      int
}

func (b *replyBatch) replies(peer string) replyReader {
	return replyReader{b: b, peer: peer, data: string(b.Data), tokens: b.Tokens}
}

// next stores the next reply in r, or returns its error. It may be called once for each
// number in Seq.
func (it *replyReader) next(r *Reply) *Error {
	b, i := it.b, it.i
	it.i++
	node := at(b.Node, i)
	if node == "" {
		node = it.peer
	} else {
		node = text.Line(node, maxText)
	}
	flags := at(b.Flags, i)
	if r.Epoch, r.Count = 0, 0; flags&replyToken != 0 {
		r.Epoch, r.Count, it.tokens, _ = cutToken(it.tokens)
	}
	if code := Code(at(b.Code, i)); code != codeOK {
		e := &Error{Code: code, Outcome: Outcome(min(at(b.Outcome, i), uint8(Ran))), Node: node, Text: text.Line(at(b.Text, i), maxText)}
		if code == NotOwner {
			e.Members = b.Members // decoded anew for each batch
		}
		return e
	}
	n := at(b.Len, i)
	data := it.data[:n]
	it.data = it.data[n:]
	if len(b.Data) > maxText && len(data) < len(b.Data) {
		data = strings.Clone(data) // so that a caller who keeps one value does not keep all
	}
	r.Data, r.IsInt, r.Type = data, flags&replyInt != 0, at(b.Type, i)
	r.Cached, r.Degraded, r.Stale = flags&replyCached != 0, flags&replyDegraded != 0, flags&replyStale != 0
	r.Via = ""
	if via := at(b.Via, i); via != "" {
		r.Via = text.Line(via, maxText)
	}
	r.Node, r.Age, r.TTL = node, fromMillis(at(b.Age, i)), fromMillis(at(b.TTL, i))
	return nil
}
