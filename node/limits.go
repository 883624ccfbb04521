package node

import (
	"net/netip"
	"time"
)

// maxBuckets bounds what is remembered of clients. It is more than a node has masters.
const maxBuckets = 1024

// rates counts how often clients come, each in a bucket of its own: a connection takes a token out, and tokens
// come back evenly, up to a minute's worth. The server's lock guards it.
type rates struct {
	buckets map[netip.Addr]*bucket
	others  bucket // of all clients for whom there is no room
}

type bucket struct {
	tokens float64
	filled time.Time
}

// allow takes a token for a client out of its bucket. It says false when there is none left.
func (r *rates) allow(addr netip.Addr, perMinute int, now time.Time) bool {
	if perMinute <= 0 {
		return true
	}
	b := r.bucket(neighbourhood(addr), perMinute, now)
	b.fill(perMinute, now)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

func (r *rates) bucket(addr netip.Addr, perMinute int, now time.Time) *bucket {
	if b, ok := r.buckets[addr]; ok {
		return b
	}
	if len(r.buckets) >= maxBuckets {
		for other, b := range r.buckets {
			if b.fill(perMinute, now); b.tokens >= float64(perMinute) {
				delete(r.buckets, other)
			}
		}
	}
	if len(r.buckets) >= maxBuckets {
		return &r.others
	}
	if r.buckets == nil {
		r.buckets = make(map[netip.Addr]*bucket)
	}
	b := &bucket{}
	r.buckets[addr] = b
	return b
}

// fill puts in what came since the last time; a new bucket is full.
func (b *bucket) fill(perMinute int, now time.Time) {
	most := float64(perMinute)
	if b.filled.IsZero() {
		b.tokens = most
	} else {
		b.tokens = min(most, b.tokens+most*max(0, now.Sub(b.filled).Minutes()))
	}
	b.filled = now
}

// neighbourhood is what counts as one client: with IPv6, everybody has a whole network to come from.
func neighbourhood(addr netip.Addr) netip.Addr {
	const network = 64
	if !addr.Is6() {
		return addr
	}
	prefix, err := addr.WithZone("").Prefix(network)
	if err != nil {
		return addr
	}
	return prefix.Addr()
}
