package poll

import "time"

// rests says whether a plugin need not be asked now, as it was not long ago. It is then described as it was.
func (s *session) rests(plugin string, every time.Duration) bool {
	about, last := s.known.plugins[plugin], s.known.asked[plugin]
	// Half an interval early is nearer to its time than half an interval late.
	if every <= 0 || about == nil || last.IsZero() || s.opts.Slot.Sub(last) >= every-s.target.Interval/2 {
		return false
	}
	j := &job{name: plugin, state: done, about: about}
	for i := range about.graphs {
		s.takeGraph(j, &about.graphs[i])
	}
	return true
}

// answered remembers when a plugin answered that may rest.
func (s *session) answered(j *job) {
	if j.state != done || s.target.every(j.name) <= 0 {
		return
	}
	if s.known.asked == nil {
		s.known.asked = make(map[string]time.Time)
	}
	s.known.asked[j.name] = s.opts.Slot
}
