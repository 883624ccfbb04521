package spool

import (
	"hash/fnv"
	"math"
	"time"
)

// plan is the schedule of one plugin.
type plan struct {
	Plugin
	memory

	interval time.Duration
	phase    time.Duration
	due      time.Time // next slot
	slot     time.Time // that it was queued or started for
	queued   bool
	running  bool
	counts   bool // against the limit of runs at a time
	stale    bool // the plugin is another one since its config was read
	gone     bool // the plugin was taken away while it ran
	started  time.Time
}

// memory is what is remembered of a plugin from one run to the next.
type memory struct {
	configAt time.Time // when its config was last read; zero: it is needed
	rate     time.Duration
	aligned  bool
	shape    uint64 // of its values when the config was read
	dirty    bool   // it says its values with its config
	timed    bool   // it says the times of its values, and so samples by itself
	node     string
}

// job is one run that is to be done.
type job struct {
	memory

	name     string
	slot     time.Time
	interval time.Duration
}

// job makes a run of a plan.
func (p *plan) job() job {
	j := job{memory: p.memory, name: p.Name, slot: p.slot, interval: p.interval}
	if p.stale {
		j.configAt, p.stale = time.Time{}, false
	}
	return j
}

// outcome is what became of a run.
type outcome struct {
	plan *plan
	memory
	err error
}

// take brings the plans up to date with a list of plugins.
func (s *Sampler) take(list []Plugin, now time.Time) {
	listed := make(map[string]bool, len(list))
	for _, plugin := range list {
		listed[plugin.Name] = true
		p := s.plans[plugin.Name]
		if p == nil {
			p = &plan{}
			s.plans[plugin.Name] = p
		}
		p.stale = p.stale || !p.Modified.Equal(plugin.Modified)
		p.Plugin, p.gone = plugin, false
		s.schedule(p, now)
	}
	for name, p := range s.plans {
		if listed[name] {
			continue
		}
		s.store.Forget(name)
		if p.gone = p.running; !p.running {
			p.queued = false
			delete(s.plans, name)
		}
	}
}

// schedule works out how often a plugin is run, and when next if that changed.
func (s *Sampler) schedule(p *plan, now time.Time) {
	interval := p.Rate
	if interval <= 0 {
		interval = p.rate
	}
	if interval <= 0 {
		interval = s.opts.Interval
	}
	if p.timed {
		// It takes its samples itself; asking it as often as it does so would be in vain.
		interval = max(interval, s.opts.Interval)
	}
	interval = min(max(interval.Truncate(time.Second), minInterval), maxInterval)
	phase := time.Duration(0)
	if !p.aligned {
		h := fnv.New64a()
		_, _ = h.Write([]byte(s.opts.Host + "\x00" + p.Name)) // It never fails.
		phase = time.Duration(h.Sum64()%uint64(interval/time.Second)) * time.Second
	}
	if interval == p.interval && phase == p.phase {
		return
	}
	p.interval, p.phase = interval, phase
	p.due = p.after(now)
}

// after is the first slot after a time.
func (p *plan) after(t time.Time) time.Time {
	seconds, step, phase := t.Unix(), int64(p.interval/time.Second), int64(p.phase/time.Second)
	k := (seconds - phase) / step
	if seconds < phase {
		k = -1
	}
	return time.Unix((k+1)*step+phase, 0)
}

// ripen queues the plans whose slot has come, and lets long runs no longer count.
func (s *Sampler) ripen(now time.Time) {
	for _, p := range s.plans {
		if p.due.Sub(now) > p.interval {
			p.due = p.after(now) // The clock was set back.
		}
		if p.gone || p.due.After(now) {
			continue
		}
		// More than one slot has come when the machine slept or its clock was set. They are not caught up on.
		skipped := now.Sub(p.due) / p.interval
		slot := p.due.Add(skipped * p.interval)
		p.due = slot.Add(p.interval)
		if p.running || p.queued {
			skipped++
		}
		s.miss(uint64(skipped))
		if p.running {
			continue
		}
		p.slot = slot
		if !p.queued {
			p.queued = true
			s.queue = append(s.queue, p)
		}
	}
	for _, p := range s.plans {
		if p.counts && now.Sub(p.started) >= fairShare {
			p.counts = false
			s.busy--
		}
	}
}

// startable takes from the queue what may run now.
func (s *Sampler) startable() []*plan {
	var list []*plan
	running := s.running()
	for len(s.queue) > 0 && s.busy+len(list) < s.opts.Parallel && running+len(list) < maxRuns {
		p := s.queue[0]
		s.queue = s.queue[1:]
		if p.queued { // and not taken away
			p.queued = false
			list = append(list, p)
		}
	}
	return list
}

func (s *Sampler) running() int {
	n := 0
	for _, p := range s.plans {
		if p.running {
			n++
		}
	}
	return n
}

// sleep is how long nothing is to be done.
func (s *Sampler) sleep(now time.Time) time.Duration {
	d := time.Duration(math.MaxInt64)
	for _, p := range s.plans {
		d = min(d, p.due.Sub(now))
		if p.counts {
			d = min(d, p.started.Add(fairShare).Sub(now))
		}
	}
	return max(min(d, listEvery), time.Millisecond)
}

// end takes the outcome of a run.
func (s *Sampler) end(o *outcome) {
	p := o.plan
	if p.counts {
		s.busy--
	}
	p.running, p.counts, p.memory = false, false, o.memory
	if p.gone {
		delete(s.plans, p.Name)
		s.store.Forget(p.Name) // It may just have given a last sample.
	} else {
		s.schedule(p, time.Now())
	}
	s.mu.Lock()
	if o.err == nil {
		s.stats.Runs++
	} else {
		s.stats.Failures++
	}
	s.mu.Unlock()
}
