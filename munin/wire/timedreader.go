package wire

import (
	"net"
	"time"

	"corbie/munin"
)

// timedReader reads from a connection under three deadlines at once: silence, one answer, the whole session.
type timedReader struct {
	conn     net.Conn
	flush    func() error  // before each read: what was not sent yet
	ack      func()        // before each read: the kernel is to acknowledge at once
	bytes    int64         // received
	idle     time.Duration // longest silence
	idleFrom int64         // the silence counts only after more bytes than this have come, or when it is 0
	answer   time.Time     // end of the answer in progress
	began    time.Time     // of the answer in progress
	session  time.Time     // end of the session; zero: none
	limit    limit         // which of the three the last read deadline was
}

type limit int

const (
	limitAnswer limit = iota
	limitIdle
	limitSession
)

// Read implements io.Reader.
func (r *timedReader) Read(b []byte) (int, error) {
	if err := r.flush(); err != nil {
		return 0, err
	}
	deadline := r.answer
	r.limit = limitAnswer
	if r.idleFrom == 0 || r.bytes > r.idleFrom {
		if silent := time.Now().Add(r.idle); !silent.After(deadline) {
			deadline, r.limit = silent, limitIdle
		}
	}
	if !r.session.IsZero() && r.session.Before(deadline) {
		deadline, r.limit = r.session, limitSession
	}
	if err := r.conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	r.ack()
	n, err := r.conn.Read(b)
	r.bytes += int64(n)
	return n, err
}

// expired says in words which deadline passed, and what was seen until then.
func (r *timedReader) expired(asked string) (detail string, kind error) {
	waited := words(time.Since(r.began))
	switch {
	case r.limit == limitSession:
		return "this answer was waited for " + waited, ErrOutOfTime
	case r.limit == limitIdle && asked == "banner":
		return "nothing came for " + words(r.idle) + "; a munin node greets first", ErrSilent
	case r.limit == limitIdle && asked == "cap":
		return "nothing came for " + words(r.idle) + " after its banner", ErrSilent
	case r.limit == limitIdle:
		return "nothing came for " + words(r.idle), ErrSilent
	case r.idleFrom > 0 && r.bytes == r.idleFrom:
		return "no answer began within " + waited, ErrSilent
	}
	return "it was not complete after " + waited, ErrSlow
}

func words(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return munin.FormatDuration(d)
}
