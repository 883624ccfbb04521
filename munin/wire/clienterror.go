package wire

import (
	"bytes"
	"errors"

	"corbie/munin"
)

// Reasons for which a client gives a session up. They come wrapped in a *SessionError.
var (
	// ErrNoBanner says that what was reached does not greet as a munin node does.
	ErrNoBanner = errors.New("it does not greet as a munin node")
	// ErrSilent says that nothing came for the idle limit.
	ErrSilent = errors.New("the node hangs")
	// ErrSlow says that something came, but the answer was not complete in time.
	ErrSlow = errors.New("the answer came too slowly")
	// ErrLongLine says that a line had no end within MaxLineBytes.
	ErrLongLine = errors.New("the node sent a line without end")
	// ErrLongReply says that an answer was longer than allowed.
	ErrLongReply = errors.New("the answer is too long")
	// ErrHungUp says that the node closed the connection before its answer was complete.
	ErrHungUp = errors.New("the node closed the connection before its answer was complete")
	// ErrOutOfStep says that what came is no answer to what was asked.
	ErrOutOfStep = errors.New("the node answered something else than was asked")
	// ErrOutOfTime says that the time for the whole session was up.
	ErrOutOfTime = errors.New("the time for the whole session was up")
)

// SessionError says during which question and why a session was given up.
type SessionError struct {
	Asked  string // the command that was waiting for its answer: "config cpu"; "banner" for the greeting
	Kind   error  // one of the Err values of this package
	Detail string // in words, may be empty
	Err    error  // what the network said, may be nil
}

// Error is one line for people.
func (e *SessionError) Error() string {
	text := e.Asked + ": " + e.Kind.Error()
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.Err != nil {
		text += " (" + e.Err.Error() + ")"
	}
	return text
}

// Unwrap gives errors.Is the kind and the cause.
func (e *SessionError) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// Excerpt is a short, printable form of what a node said, for messages.
func Excerpt(text []byte) string {
	const most = 80
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	cut := len(text) > most
	if cut {
		text = text[:most]
	}
	clean := munin.CleanText(string(text))
	if cut {
		clean += "…"
	}
	return clean
}

func quoted(text string) string {
	if text == "" {
		return "nothing"
	}
	return `"` + text + `"`
}
