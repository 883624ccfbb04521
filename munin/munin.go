// Package munin is the vocabulary that every part of Corbie speaks: hosts, graphs, fields, readings,
// levels and findings, and the text forms in which Munin's nodes and plugins say them.
//
// It is data and pure functions over data: standard library only, no clock, no goroutine, no log,
// no I/O. What moves the data belongs to the package that moves it.
package munin

import (
	"errors"
	"math"
	"strings"
	"time"
)

// Errors that more than one package branches on. Wrap them with the operation that failed.
var (
	// ErrNotFound says that a host, graph or field is not known.
	ErrNotFound = errors.New("not found")
	// ErrExists says that a name is taken.
	ErrExists = errors.New("there is one of that name already")
	// ErrAmbiguous says that a short name fits more than one host.
	ErrAmbiguous = errors.New("ambiguous")
	// ErrAway says that what keeps the samples is another program, and that it does not answer.
	ErrAway = errors.New("the storage engine does not answer")
	// ErrTooMuch says that an answer would take more samples than may be read for one.
	ErrTooMuch = errors.New("this takes too many samples")
	// ErrInUse says that another process holds the data folder.
	ErrInUse = errors.New("only one master at a time can use it")
)

// HostID names a host by its group path and its name, joined by semicolons as Munin writes it:
// "web;eu;www1.example.com". A host without a group is its bare name.
type HostID string

// NewHostID joins a group path ("web;eu", may be empty) and a host name.
func NewHostID(group, name string) HostID {
	if group == "" {
		return HostID(name)
	}
	return HostID(group + ";" + name)
}

// Group is the path before the name, empty where there is none.
func (h HostID) Group() string {
	if i := strings.LastIndexByte(string(h), ';'); i >= 0 {
		return string(h[:i])
	}
	return ""
}

// Name is the last part of the path.
func (h HostID) Name() string {
	return string(h[strings.LastIndexByte(string(h), ';')+1:])
}

// SeriesID names one stored series. Graph keeps Munin's multigraph dots ("diskstats_iops.sda").
// With Field empty it names the graph, with Graph empty too the host itself.
type SeriesID struct {
	Host  HostID
	Graph string
	Field string
}

// String is Munin's fully qualified name: "web;www1:df.root".
func (id SeriesID) String() string {
	var b strings.Builder
	b.WriteString(string(id.Host))
	if id.Graph != "" {
		b.WriteByte(':')
		b.WriteString(id.Graph)
	}
	if id.Field != "" {
		b.WriteByte('.')
		b.WriteString(id.Field)
	}
	return b.String()
}

// Point is one value at one instant.
type Point struct {
	T int64   // Unix milliseconds
	V float64 // NaN is unknown
}

// CannotSay is the time of a newest value of which nothing can be said, not even that there is none: who keeps the samples is away.
const CannotSay = math.MinInt64

// Time is T as a time in UTC.
func (p Point) Time() time.Time { return time.UnixMilli(p.T).UTC() }

// Reading is one raw value exactly as the plugin said it: a counter stays a counter. NaN is Munin's U.
type Reading struct {
	ID SeriesID
	Point
}

// Source says which series to read and how its raw values become the values that people see.
type Source struct {
	ID     SeriesID
	Type   FieldType
	Bounds Bounds // the field's min and max: a value outside is unknown
	// Heartbeat is the longest time between two samples that still gives a rate; zero means no limit.
	Heartbeat time.Duration
	// Sum, where it is not empty, are the series whose sum this is; Type, Bounds and Heartbeat then say nothing. The
	// sum covers what is known: it is unknown only where all of its parts are.
	Sum []Source `json:",omitempty"`
}

// Bucket is what one step of a query holds. Count is the number of known samples in it; with Count 0
// the other three are NaN: a gap.
type Bucket struct {
	Avg, Min, Max float64
	Count         int
}

// Gap is the bucket without a known sample.
func Gap() Bucket {
	return Bucket{Avg: math.NaN(), Min: math.NaN(), Max: math.NaN()}
}

// Series is the answer to a range query: Buckets[i] covers the time from Start + i·Step (inclusive) to
// Start + (i+1)·Step (exclusive). Values are rates where the field's type makes them so.
type Series struct {
	ID      SeriesID
	Start   time.Time
	Step    time.Duration
	Buckets []Bucket
	// Last is the newest known value in the range, with its own time; its V is NaN where there is none.
	Last Point
}

// Host is what the catalogue knows of a host.
type Host struct {
	ID       HostID
	Address  string        // as configured: host:port; empty: a virtual host, which is not polled
	Interval time.Duration // between two polls
	// Silent is how long a host may fail to answer before that is a problem.
	Silent     time.Duration
	FirstSeen  time.Time // first answer; zero: never answered
	LastAnswer time.Time // last session that ended well; zero: never answered
	LastTried  time.Time // start of the last session
	LastError  string    // why the last session failed; empty when it went well
	LastTook   time.Duration
	Banner     string // name that the node gave in its banner
	Archived   bool   // no longer configured; its history is kept

	// What the last session cost, as in Poll.
	LastLag     time.Duration
	LastValues  int
	LastBytes   int64
	Slowest     string
	SlowestTook time.Duration
	// Spool is how far the node's spool has been fetched and stored: see Poll.Spool.
	Spool int64
}

// Late says whether the last session took longer than the time between two polls: polls in between are left out.
func (h *Host) Late() bool { return h.Interval > 0 && h.LastTook > h.Interval }

// SilentAt says whether a host that has answered has been silent for longer than it may be. A session is known of when it is over, so one
// that takes long and ends well does not make its host silent.
func (h *Host) SilentAt(now time.Time) bool {
	may := h.Silent
	if may <= 0 {
		may = 3 * h.Interval
	}
	if h.LastTried.Equal(h.LastAnswer) {
		may += 2 * h.LastTook // that session, and the one that is under way
	}
	return may > 0 && !h.LastAnswer.IsZero() && now.Sub(h.LastAnswer) > may
}

// Poll is what one session with one host gave, whole or in part.
type Poll struct {
	Host    HostID
	Address string
	Slot    time.Time // the scheduled instant: the time of every value that came without one
	Start   time.Time // when the session really began
	Took    time.Duration
	Banner  string   // name that the node gave in its banner
	Caps    []string // capabilities that the node offered
	Plugins []string // names that the node listed
	// Graphs and Readings hold only what was terminated properly. Readings carry their final times.
	Graphs   []Graph
	Readings []Reading
	Faults   []Fault // what was dropped, by plugin and line
	Bytes    int64   // received
	// Encrypted says that all of it came through TLS.
	Encrypted bool
	Err       error // why the session was given up early, nil when it went well

	Lag         time.Duration // how late the session began: it had to wait for others
	Slowest     string        // plugin whose answer took longest; empty where none answered
	SlowestTook time.Duration
	// Spool is the highest time, in seconds since 1970, of what the node gave out of its spool, when all of it is in
	// Readings; 0 says nothing.
	Spool int64

	// Described tells one set of graphs from another: two polls of a host that a program made with the same number here
	// brought the same Graphs. 0 says nothing.
	Described uint64
}

// Answered says whether the node was there and said who it is.
func (p *Poll) Answered() bool { return p.Banner != "" }

// Fault is a piece of an answer that could not be used.
type Fault struct {
	Plugin string // wire name, empty when the session itself is at fault
	Line   int    // line in the reply, from 1; 0 when it concerns the whole reply
	Text   string // the offending text, cut to a printable excerpt
	Reason string // what is wrong and how to mend it
}

// String is one line for people.
func (f Fault) String() string {
	var b strings.Builder
	if f.Plugin != "" {
		b.WriteString(f.Plugin)
		b.WriteString(": ")
	}
	if f.Line > 0 {
		b.WriteString("line ")
		b.WriteString(itoa(f.Line))
		b.WriteString(": ")
	}
	b.WriteString(f.Reason)
	if f.Text != "" {
		b.WriteString(": ")
		b.WriteString(f.Text)
	}
	return b.String()
}
