package wire

import (
	"fmt"
	"net"
	"time"

	"corbie/munin"
)

// timedReader reads from a connection under three deadlines at once: silence, one answer, the whole session.
type timedReader struct {
	conn     net.Conn
	ack      func()        // before each read: the kernel is to acknowledge at once
	bytes    int64         // received
	idle     time.Duration // longest silence
	idleFrom int64         // the silence counts only after more bytes than this have come, or when it is 0
	answer   time.Time     // end of the answer in progress
	began    time.Time     // of the answer in progress
	session  time.Time     // end of the session; zero: none
	reason   error         // which of the three the last read deadline was
}

// Read implements io.Reader.
func (r *timedReader) Read(b []byte) (int, error) {
	deadline := r.answer
	r.reason = ErrSlow
	if r.idleFrom == 0 || r.bytes > r.idleFrom {
		if silent := time.Now().Add(r.idle); !silent.After(deadline) {
			deadline, r.reason = silent, ErrSilent
		}
	}
	if !r.session.IsZero() && r.session.Before(deadline) {
		deadline, r.reason = r.session, ErrOutOfTime
	}
	if err := r.conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	r.ack()
	n, err := r.conn.Read(b)
	r.bytes += int64(n)
	return n, err
}

// expired says which deadline passed, and in words what was seen until then.
func (r *timedReader) expired(asked string) (kind error, detail string) {
	waited := words(time.Since(r.began))
	switch {
	case r.reason == ErrSilent && asked == "banner":
		return ErrSilent, "nothing came for " + words(r.idle) + "; a munin node greets first"
	case r.reason == ErrSilent && asked == "cap":
		return ErrSilent, "nothing came for " + words(r.idle) + " after its banner"
	case r.reason == ErrSilent:
		return ErrSilent, "nothing came for " + words(r.idle)
	case r.reason == ErrSlow && r.idleFrom > 0 && r.bytes == r.idleFrom:
		return ErrSilent, "no answer began within " + waited
	case r.reason == ErrSlow:
		return ErrSlow, "it was not complete after " + waited
	}
	return r.reason, fmt.Sprintf("this answer was waited for %s", waited)
}

func words(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return munin.FormatDuration(d)
}
