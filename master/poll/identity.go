package poll

import (
	"fmt"
	"strings"

	"corbie/munin"
)

// knows notes that the node knows the name that it was asked for. That it calls itself something else than before is
// then told, but it is what the configuration wants.
func (s *session) knows(asked string) {
	k := s.known
	if k.banner != "" && s.poll.Banner != "" && !strings.EqualFold(k.banner, s.poll.Banner) {
		s.fault(munin.Fault{Reason: fmt.Sprintf("the node calls itself %q now; it was %q until then", s.poll.Banner, k.banner)})
	}
	k.node, k.banner = asked, s.poll.Banner
}

// sameNode says whether the node that knows only one name is the one that it was before. The host's own name says
// nothing here, because the node does not know it.
func (s *session) sameNode(name string) error {
	k := s.known
	before, now := k.node, name
	if k.banner != "" && !strings.EqualFold(k.banner, s.poll.Banner) {
		before, now = k.banner, s.poll.Banner
	}
	if before == "" || strings.EqualFold(before, now) {
		k.node, k.banner = name, s.poll.Banner
		return nil
	}
	s.poll.Banner = "" // It is not this host that answered.
	return fmt.Errorf("%w: it was %q and is now %q; if it was renamed, write \"node_name: %s\" for this host", ErrAnother, before, now, name)
}
