package access

import (
	"net/netip"
	"sync"
	"time"
)

// Each address and each name may fail so often at once, and then once every so long.
const (
	failures    = 10
	failAgain   = 30 * time.Second
	limitedKeys = 20_000
)

// limits count failures. What is taken is given back after a success.
type limits struct {
	mu  sync.Mutex
	all map[string]*bucket
}

type bucket struct {
	left float64
	at   time.Time
}

func newLimits() *limits { return &limits{all: make(map[string]*bucket)} }

// take counts an attempt; it says after how long to try again when there were too many failures.
func (l *limits) take(key string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.all[key]
	if b == nil {
		l.sweep(now)
		b = &bucket{left: failures, at: now}
		l.all[key] = b
	}
	b.fill(now)
	if b.left < 1 {
		return time.Duration((1 - b.left) * float64(failAgain))
	}
	b.left--
	return 0
}

func (b *bucket) fill(now time.Time) {
	b.left = min(failures, b.left+max(float64(now.Sub(b.at))/float64(failAgain), 0))
	b.at = now
}

func (l *limits) refund(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.all[key]; b != nil {
		b.left = min(failures, b.left+1)
	}
}

// sweep makes room where there is none: first for those that are full again, then for any.
func (l *limits) sweep(now time.Time) {
	if len(l.all) < limitedKeys {
		return
	}
	for key, b := range l.all {
		if b.fill(now); b.left >= failures {
			delete(l.all, key)
		}
	}
	for key := range l.all {
		if len(l.all) < limitedKeys {
			return
		}
		delete(l.all, key)
	}
}

// network is what counts as one address: who has one of IPv6 has a /64 of them.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Is4() {
		return address
	}
	prefix, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return prefix.String()
}
