package poll

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"corbie/munin"
	"corbie/munin/wire"
)

// Errors that give a poll up and do not come from package wire.
var (
	// ErrUnreachable says that no connection could be opened.
	ErrUnreachable = errors.New("cannot be reached")
	// ErrNoPlugins says that the node offers nothing under the name that was asked for.
	ErrNoPlugins = errors.New("the node offers no plugins")
	// ErrAnother says that the address belongs to another node than before. Nothing of it is taken.
	ErrAnother = errors.New("another node answers there")
	// ErrStopped says that the poll was interrupted by this side.
	ErrStopped = errors.New("the poll was stopped")
	// ErrInternal says that this program has a fault.
	ErrInternal = errors.New("internal error, please report it")
)

// Limits on what one session may cost.
const (
	maxAnswerBytes  = 8 << 20  // of one plugin's answer
	maxSessionBytes = 64 << 20 // of all answers
	maxReadings     = 300_000
	maxGraphs       = 20_000
	maxPlugins      = 10_000
	maxFaults       = 300
	maxConnections  = 8 // that one poll opens, because plugins broke those before
	defaultWindow   = 16
)

// SessionOptions are the settings of one session.
type SessionOptions struct {
	Dial   Dialer    // nil: DialTCP
	Slot   time.Time // the time of values that come without one; zero: when the session begins
	Window int       // questions in flight at once; 0: 16; 1: ask, wait, ask
	Only   []string  // ask only these plugins; empty: all
	Last   []string  // ask these plugins after all others

	known   *knowledge // of the sessions before; nil: none
	library *library   // nil: this session is alone
	catchUp chan struct{}
	scratch *wire.Scratch // nil: none
}

// Session polls one host once. It never fails as a whole: the poll says in Err why it was given up, and holds
// what was complete until then. It returns when it is done, at the host's deadline or when ctx ends.
func Session(ctx context.Context, target Target, opts SessionOptions) *munin.Poll {
	result, _ := runSession(ctx, target, opts)
	return result
}

// runSession is Session; it also names the plugins that broke a connection.
func runSession(ctx context.Context, target Target, opts SessionOptions) (*munin.Poll, []string) {
	start := time.Now()
	if opts.Dial == nil {
		opts.Dial = DialTCP
	}
	if opts.Slot.IsZero() {
		opts.Slot = start.Truncate(time.Millisecond)
	}
	if opts.Window <= 0 {
		opts.Window = defaultWindow
	}
	if opts.known == nil {
		opts.known = new(knowledge)
	}
	target.Timeouts = target.Timeouts.WithDefaults()
	s := &session{
		target: target, opts: opts, slots: target.slots(),
		poll:  &munin.Poll{Host: target.Host, Address: target.Address, Slot: opts.Slot.UTC(), Start: start.UTC()},
		owner: make(map[string]string), known: opts.known,
	}
	deadline, cancel := context.WithTimeoutCause(ctx, target.Timeouts.Host, wire.ErrOutOfTime)
	defer cancel()
	s.poll.Err = s.run(deadline)
	s.nameUnasked()
	s.remember()
	s.poll.Took = time.Since(start)
	return s.poll, s.breakers
}

// session is one poll in progress. It may use several connections, one after the other.
type session struct {
	target   Target
	opts     SessionOptions
	slots    slots
	poll     *munin.Poll
	known    *knowledge
	jobs     []*job            // every plugin, in the order of asking; nil until listed
	owner    map[string]string // graph → plugin that declared it
	kept     []*munin.Graph    // that were declared, in that order
	asked    string            // name under which the plugins were listed
	breakers []string          // plugins that ended a connection

	connections int // so far
}

// job is one plugin of the session.
type job struct {
	name  string
	state jobState
	about *described // what its config said; nil until it came
}

type jobState int

const (
	todo       jobState = iota // nothing is known
	configured                 // its config was taken; its values are missing
	done                       // nothing more to ask
)

// run opens connections until every plugin is done. The error is why the session was given up, and also why a
// connection ended when that happened for most plugins: such a node is not to be trusted.
func (s *session) run(ctx context.Context) error {
	for connection := 1; ; connection++ {
		s.connections = connection
		err := s.connect(ctx)
		if err == nil {
			return nil
		}
		if plugin := s.dropBreaker(err); ctx.Err() != nil || errors.Is(err, wire.ErrOutOfTime) || !plugin {
			return err
		}
		over := connection == maxConnections
		switch {
		case s.unfinished() && !over:
		case over && s.unfinished() && !s.onlyUsualSuspects(), 2*len(s.breakers) > len(s.jobs):
			return err
		default:
			return nil
		}
	}
}

// onlyUsualSuspects says whether what is not done are plugins that broke a connection in the poll before.
func (s *session) onlyUsualSuspects() bool {
	return !slices.ContainsFunc(s.jobs, func(j *job) bool { return j.state != done && !slices.Contains(s.opts.Last, j.name) })
}

// dropBreaker takes the plugin that ended the connection out of the session. It is false when it was not a
// plugin that ended it.
func (s *session) dropBreaker(err error) bool {
	var culprit *brokenBy
	if !errors.As(err, &culprit) {
		return false
	}
	j := culprit.job
	j.state = done
	s.breakers = append(s.breakers, j.name)
	s.fault(munin.Fault{Plugin: j.name, Reason: "its answer ended the connection: " + err.Error()})
	return true
}

func (s *session) unfinished() bool {
	return slices.ContainsFunc(s.jobs, func(j *job) bool { return j.state != done })
}

// brokenBy says that a plugin's answer ended the connection.
type brokenBy struct {
	job *job
	err error
}

func (b *brokenBy) Error() string { return b.err.Error() }

func (b *brokenBy) Unwrap() error { return b.err }

// connect opens one connection and asks for what is not done yet.
func (s *session) connect(ctx context.Context) error {
	dialing, cancel := context.WithTimeout(ctx, s.target.Timeouts.Dial)
	conn, err := s.opts.Dial(dialing, s.target.Address)
	cancel()
	if err != nil {
		return s.unreachable(ctx, err)
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	deadline, _ := ctx.Deadline()
	client := wire.NewClient(conn, wire.ClientOptions{
		Idle: s.target.Timeouts.Idle, Answer: s.target.Timeouts.Plugin, Deadline: deadline, Reply: maxAnswerBytes,
		Scratch: s.opts.scratch,
	})
	defer func() {
		s.poll.Bytes += client.Received()
		client.Close()
	}()
	if err := s.greet(ctx, client); err != nil {
		return s.interrupted(ctx, err)
	}
	if s.jobs == nil {
		if err := s.list(client); err != nil {
			return s.interrupted(ctx, err)
		}
	}
	if s.hasSpool() {
		if done, err := s.spool(client); done || err != nil {
			if err == nil {
				s.explain(client, true)
			}
			return s.interrupted(ctx, err)
		}
	}
	err = s.ask(client)
	if err == nil {
		s.explain(client, false)
	}
	return s.interrupted(ctx, err)
}

func (s *session) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return s.interrupted(ctx, err)
	}
	advice := ""
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		advice = "; is munin-node or corbie-node running there, and does it listen on that address?"
	case errors.Is(err, context.DeadlineExceeded):
		advice = fmt.Sprintf(" within %s; a firewall, or the host is down?", s.target.Timeouts.Dial)
	}
	return fmt.Errorf("%s %w: %w%s", s.target.Address, ErrUnreachable, err, advice)
}

// interrupted replaces what a closed connection says by the reason for which this side closed it.
func (s *session) interrupted(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, wire.ErrOutOfTime) {
		return err
	}
	asked := "connect"
	var broken *wire.SessionError
	if errors.As(err, &broken) {
		asked = broken.Asked
	}
	kind := ErrStopped
	if errors.Is(context.Cause(ctx), wire.ErrOutOfTime) {
		kind = wire.ErrOutOfTime
	}
	return s.blame(asked, &wire.SessionError{Asked: asked, Kind: kind})
}

// blame keeps the plugin with the error where the question was about one.
func (s *session) blame(asked string, err error) error {
	_, plugin, _ := strings.Cut(asked, " ")
	for _, j := range s.jobs {
		if plugin != "" && j.name == plugin {
			return &brokenBy{job: j, err: err}
		}
	}
	return err
}

func (s *session) greet(ctx context.Context, client *wire.Client) error {
	banner, err := client.Greet()
	if err != nil {
		return err
	}
	if s.poll.Banner != "" && s.poll.Banner != banner {
		return &wire.SessionError{
			Asked: "banner", Kind: wire.ErrOutOfStep,
			Detail: fmt.Sprintf("a second connection reached %q instead of %q", banner, s.poll.Banner),
		}
	}
	s.poll.Banner = banner
	encrypted, err := client.StartTLS(ctx, s.target.TLS)
	if err != nil {
		return err
	}
	s.poll.Encrypted = encrypted && (s.connections == 1 || s.poll.Encrypted)
	caps, err := client.Cap()
	s.poll.Caps = caps
	return err
}

// list finds out which plugins there are, under the name that the target's rules choose.
func (s *session) list(client *wire.Client) error {
	names, asked, err := s.listNames(client)
	if err != nil {
		return err
	}
	s.asked = asked
	seen := make(map[string]bool)
	var last []*job
	s.jobs = []*job{}
	for _, name := range names {
		if seen[name] {
			continue
		}
		seen[name] = true
		if err := munin.ValidatePluginName(name); err != nil {
			s.fault(munin.Fault{Text: wire.Excerpt([]byte(name)), Reason: "the node lists a plugin that cannot be asked for: " + err.Error()})
			continue
		}
		every := s.target.every(name)
		if every < 0 {
			continue // The configuration does not want it.
		}
		if len(s.poll.Plugins) >= maxPlugins {
			s.fault(munin.Fault{Reason: fmt.Sprintf("the node lists more than %d plugins; the rest is not asked", maxPlugins)})
			break
		}
		s.poll.Plugins = append(s.poll.Plugins, name)
		switch {
		case len(s.opts.Only) > 0 && !slices.Contains(s.opts.Only, name):
		case s.rests(name, every):
		case slices.Contains(s.opts.Last, name):
			last = append(last, &job{name: name})
		default:
			s.jobs = append(s.jobs, &job{name: name})
		}
	}
	s.jobs = append(s.jobs, last...)
	if len(s.poll.Plugins) == 0 {
		return s.noPlugins(client, asked)
	}
	return nil
}

func (s *session) noPlugins(client *wire.Client, asked string) error {
	if asked == "" {
		return fmt.Errorf("%w; see its plugin folder and the log of its start", ErrNoPlugins)
	}
	known, err := client.Nodes()
	if err != nil {
		return err
	}
	return fmt.Errorf("%w for %q, it knows %q; set node_name to one of these, or use_node_name: yes", ErrNoPlugins, asked, known)
}

func (s *session) listNames(client *wire.Client) (names []string, asked string, err error) {
	asked = s.target.asks(s.poll.Banner)
	if asked == "" || listable(asked) {
		names, err = client.List(asked)
		if len(names) > 0 {
			s.knows(asked)
		}
		if err != nil || len(names) > 0 || s.target.Naming != NameAuto {
			return names, asked, err
		}
	}
	known, err := client.Nodes()
	if err != nil || len(known) != 1 || !listable(known[0]) {
		return nil, asked, err
	}
	if err := s.sameNode(known[0]); err != nil {
		return nil, asked, err
	}
	names, err = client.List(known[0])
	return names, known[0], err
}

// asks is the name that a node with this banner is asked for first; empty is none.
func (t *Target) asks(banner string) string {
	switch t.Naming {
	case NameNone:
		return ""
	case NameBanner:
		return banner
	case NameAuto, NameHost:
	}
	return cmp.Or(t.NodeName, t.Host.Name())
}

// listable says whether a name can stand in a list command: Munin's node takes what it does not expect for the
// end of the name.
func listable(name string) bool {
	for _, c := range []byte(name) {
		if c != '-' && c != '.' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return name != "" && len(name) <= munin.MaxNameBytes
}

// ask keeps a window of questions in flight until every plugin is done. A plugin's fetch follows when its config
// was read and held no values.
func (s *session) ask(client *wire.Client) error {
	var q queues
	for _, j := range s.jobs {
		q.add(j)
	}
	for {
		for client.InFlight() < s.opts.Window {
			j, verb := q.next()
			if j == nil {
				break
			}
			q.flying = append(q.flying, j)
			if err := client.Ask(verb, j.name); err != nil {
				return &brokenBy{job: q.flying[0], err: err}
			}
		}
		if len(q.flying) == 0 {
			return nil
		}
		j := q.flying[0]
		q.flying = q.flying[1:]
		answer, err := client.Next()
		if err == nil {
			s.time(j.name, answer.Took)
			err = s.take(j, answer)
		}
		if err != nil {
			return &brokenBy{job: j, err: err}
		}
		q.add(j)
		if s.poll.Bytes+client.Received() > maxSessionBytes {
			return &wire.SessionError{Asked: "session", Kind: wire.ErrLongReply, Detail: fmt.Sprintf("all answers together exceed %d bytes", maxSessionBytes)}
		}
	}
}

// time remembers the slowest plugin.
func (s *session) time(plugin string, took time.Duration) {
	if took > s.poll.SlowestTook {
		s.poll.Slowest, s.poll.SlowestTook = plugin, took
	}
}

// queues hold the plugins of one connection that are to be asked, and those that were.
type queues struct {
	configs, fetches, flying []*job
}

// add puts a plugin where its next question stands, if it has one.
func (q *queues) add(j *job) {
	switch j.state {
	case todo:
		q.configs = append(q.configs, j)
	case configured:
		q.fetches = append(q.fetches, j)
	case done:
	}
}

// next takes the next question out; nil is none.
func (q *queues) next() (*job, wire.Verb) {
	take := func(list *[]*job) *job {
		j := (*list)[0]
		*list = (*list)[1:]
		return j
	}
	switch {
	case len(q.fetches) > 0:
		return take(&q.fetches), wire.VerbFetch
	case len(q.configs) > 0:
		return take(&q.configs), wire.VerbConfig
	}
	return nil, wire.VerbUnknown
}
