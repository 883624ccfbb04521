// Package poll asks every node for its values: one loop a host, all at once, each host under its own deadlines,
// and hands what was understood to a Sink, a Catalog and an observer.
//
// # What is believed
//
// package wire makes sure that an answer stands where the answer to the question belongs. A node can still be in
// step and answer about something else than was asked. An answer to config or fetch carries no name, and graph
// names that do not begin with the plugin's are legal, so the evidence is in the fields. These drop the plugin
// and end the connection:
//
//   - a fetch answer of whose values none belongs to a field that the plugin's config declared;
//   - a fetch answer without a single value that holds a config's lines.
//
// These drop lines and are named in the poll's Faults, but leave the session in peace, because sound nodes with
// poor plugins give them too: some values of fields that were not declared, a config that holds values and
// nothing else, "# Unknown service" for a plugin that was listed, a graph that another plugin declared before.
//
// # What one plugin can cost
//
// A plugin whose answer ends a connection (too long, too slow, without end, out of step) is dropped and named,
// and a new connection goes on with the others, within the time that the host has. The poller remembers such
// plugins and asks them last the next time. Answers that were complete are kept in every case.
package poll

import (
	"context"
	"net"
	"time"

	"corbie/munin"
	"corbie/munin/wire"
)

// Naming says under which name a node is asked for its plugins.
type Naming int

// The ways to choose the name in "list NAME".
const (
	// NameAuto asks for the host's own name. Where the node knows nothing under it and speaks for one node only,
	// that one is taken.
	NameAuto Naming = iota
	// NameHost asks for the host's own name and nothing else, as Munin does. It is needed where several hosts
	// share one address.
	NameHost
	// NameBanner asks for the name that the node gives itself: Munin's use_node_name yes.
	NameBanner
	// NameNone asks for no name: Munin's use_default_node yes.
	NameNone
)

// Timeouts bound one session. Zero values mean the defaults.
type Timeouts struct {
	Dial   time.Duration // to connect; 10 s
	Idle   time.Duration // longest silence, except while a plugin may be running; 30 s
	Plugin time.Duration // one plugin's answer to config or to fetch; 65 s, a little more than a node gives it
	Host   time.Duration // the whole session; 3 minutes
}

// WithDefaults fills in what is zero.
func (t Timeouts) WithDefaults() Timeouts {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	set(&t.Dial, 10*time.Second)
	set(&t.Idle, 30*time.Second)
	set(&t.Plugin, 65*time.Second)
	set(&t.Host, 3*time.Minute)
	return t
}

// Target is a host to be polled.
type Target struct {
	Host     munin.HostID
	Address  string        // host:port
	Interval time.Duration // between two polls; where there is a Schedule, the shortest time between two
	Schedule Schedule      // nil: every Interval
	Timeouts Timeouts
	Naming   Naming
	NodeName string // asked for instead of the host's own name, at first (NameAuto) or only (NameHost)
	// TLS is how sessions are encrypted; nil is not at all.
	TLS *wire.TLS
	// Override changes a graph's description before it is used: thresholds of the configuration. May be nil.
	Override func(*munin.Graph)
	// Every says how often a plugin is asked: 0 is at every poll, less than 0 is never. It may be nil.
	Every func(plugin string) time.Duration
	// Before is what was known of the host when the program started; the zero Host is nothing. Spool and Banner of it are
	// used.
	Before munin.Host
}

func (t *Target) every(plugin string) time.Duration {
	if t.Every == nil {
		return 0
	}
	return t.Every(plugin)
}

func (t *Target) slots() slots { return newSlots(t.Host, t.Interval, t.Schedule) }

// Dialer opens a connection to an address (host:port).
type Dialer func(ctx context.Context, address string) (net.Conn, error)

// DialTCP is the Dialer of plain sessions. It tries all addresses of a name.
func DialTCP(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}
