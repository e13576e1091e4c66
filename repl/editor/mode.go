package editor

// A ttyMode is what the terminal does with keys.
type ttyMode uint8

const (
	found   ttyMode = iota // the initial state
	running                // no echo; Ctrl-C is a signal; typed text waits
	editing                // keys arrive one by one, and pastes are marked
)
