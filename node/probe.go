package node

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"corbie/node/runner"
)

// probeShare is how long a probe counts against the number of those at a time. One that takes longer waits more than it works, and
// must not keep others from being offered.
const probeShare = 500 * time.Millisecond

// Run finds out in the background how plugins are to be offered, until ctx ends. It returns after the last
// plugin that it started has ended.
func (c *Catalogue) Run(ctx context.Context) error {
	slots := make(chan struct{}, max(4, 2*runtime.NumCPU()))
	var running sync.WaitGroup
	defer running.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case noticed := <-c.pings:
			close(noticed)
			continue
		case <-c.wake:
		}
		for _, e := range c.startProbes() {
			running.Go(func() {
				slots <- struct{}{}
				release := sync.OnceFunc(func() { <-slots })
				timer := time.AfterFunc(probeShare, release)
				c.probe(ctx, e)
				timer.Stop()
				release()
			})
		}
	}
}

// startProbes marks all plugins that need to be asked as being asked.
func (c *Catalogue) startProbes() []*entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	var due []*entry
	for _, e := range c.entries {
		if e.isDue() {
			e.probing = true
			due = append(due, e)
		}
	}
	return due
}

func (e *entry) isDue() bool {
	return !e.probing && (!e.class.known || e.class.mute && time.Since(e.asked) > probeAgain)
}

// probe asks one plugin for its config.
func (c *Catalogue) probe(ctx context.Context, e *entry) {
	answer := c.run(ctx, e, Request{Plugin: e.name, Args: []string{"config"}})
	c.mu.Lock()
	defer c.mu.Unlock()
	e.probing, e.asked = false, time.Now()
	switch {
	case ctx.Err() != nil:
		return
	case answer.Err == nil:
		found := classify(answer.Output, true)
		found.mute = len(bytes.TrimSpace(answer.Output)) == 0
		e.settle(found)
	default:
		// One that failed is still offered, so that its master tells somebody; one that hangs is not, for it
		// would hold up all others.
		e.settle(class{known: true, mute: errors.Is(answer.Err, runner.ErrTimedOut)})
	}
}

// classify reads from a config answer how to offer the plugin. Values in it only mean something when the
// plugin was not told that they are welcome.
func classify(output []byte, unasked bool) class {
	found := class{known: true}
	for line := range bytes.Lines(output) {
		line = bytes.TrimSpace(line)
		word, rest, _ := bytes.Cut(line, []byte(" "))
		switch {
		case string(word) == "multigraph":
			found.multigraph = true
		case string(word) == "host_name" && found.node == "":
			found.node = cleanHostName(string(bytes.TrimSpace(rest)))
		case unasked && bytes.HasSuffix(word, []byte(".value")):
			found.dirty = true
		}
	}
	return found
}

// cleanHostName refuses a name that would break a list on the wire.
func cleanHostName(name string) string {
	const longest = 255
	if len(name) > longest {
		return ""
	}
	for _, r := range []byte(name) {
		if r <= ' ' || r > '~' {
			return ""
		}
	}
	return name
}

// learn takes what a config answer for a master says.
func (c *Catalogue) learn(e *entry, output []byte) {
	found := classify(output, false)
	if len(bytes.TrimSpace(output)) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	found.dirty = e.class.dirty
	e.settle(found)
}

// settle takes what is known of a plugin. The catalogue's lock is held.
func (e *entry) settle(found class) {
	if !e.class.known {
		close(e.ready)
	}
	e.class = found
}

// awaitClasses waits until every plugin has been asked, but not for long. Those that still think are left out
// of this list and come with a later one: to name them for the wrong node would mix up two hosts.
func (c *Catalogue) awaitClasses(ctx context.Context) {
	var pending []*entry
	c.mu.Lock()
	for _, e := range c.entries {
		if !e.class.known {
			pending = append(pending, e)
		} else if e.isDue() {
			c.poke()
		}
	}
	c.mu.Unlock()
	if len(pending) == 0 {
		return
	}
	c.poke()
	ctx, cancel := context.WithTimeout(ctx, c.opts.ListWait)
	defer cancel()
	for _, e := range pending {
		select {
		case <-e.ready:
		case <-ctx.Done():
			c.opts.Log.Warn("plugins are left out of the list because they have not answered yet", "plugin", e.name)
			return
		}
	}
}
