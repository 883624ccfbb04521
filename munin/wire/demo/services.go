package demo

import (
	"fmt"
	"math"
)

// service are the plugins of a program that some hosts run.
type service func(h *Host) []plugin

func nginx(perSecond float64) service {
	return func(h *Host) []plugin {
		requests := h.follows("requests", perSecond*0.05, perSecond)
		bad, slow := h.follows("5xx", 0.002*perSecond, 0.002*perSecond), h.follows("loadtime", 0.11, 0.09)
		if h.spec.deployed {
			bad, slow = since(bad, h.fleet.story.ago, 9), since(slow, h.fleet.story.ago, 1.9)
		}
		answers := func(share float64) signal { return scaled(requests, share) }
		return []plugin{
			plain("nginx_request", about("Nginx requests", "Request per second", "webserver", "--base 1000 -l 0"),
				derive("request", "requests", requests, "draw LINE2", "max 100000")),
			plain("nginx_status", about("Nginx status", "Connections", "webserver", "--base 1000 -l 0"),
				gauge("total", "Active connections", whole(h.follows("active", 8, perSecond*1.3))),
				gauge("reading", "Reading", whole(h.follows("reading", 0.4, perSecond*0.02))),
				gauge("writing", "Writing", whole(h.follows("writing", 1, perSecond*0.11))),
				gauge("waiting", "Waiting", whole(h.follows("waiting", 6, perSecond*1.1)))),
			plain("http_responses", about("HTTP responses", "responses / ${graph_period}", "webserver", "--base 1000 -l 0", "graph_total total",
				"graph_order c2xx c3xx c4xx c5xx"),
				derive("c2xx", "2xx", answers(0.86), "draw AREA", "info Success"),
				derive("c3xx", "3xx", answers(0.1), "draw STACK", "info Redirection"),
				derive("c4xx", "4xx", answers(0.035), "draw STACK", "info The client's mistake"),
				derive("c5xx", "5xx", bad, "draw STACK", "info The server's mistake", "warning 4", "critical 20")),
			plain("http_loadtime", about("HTTP loadtime of a page", "Load time in seconds", "webserver", "--base 1000 -l 0"),
				gauge("www", "shop front page", capped(slow, 0.05, 10), "warning 2", "critical 5")),
			plain("php_fpm_process", about("PHP-FPM processes", "processes", "webserver", "--base 1000 -l 0"),
				gauge("active", "active", whole(h.follows("fpmactive", 1, 22)), "draw AREA"),
				gauge("idle", "idle", whole(h.follows("fpmidle", 18, -9)), "draw STACK")),
		}
	}
}

func haproxy(share float64) service {
	return func(h *Host) []plugin {
		p := plain("haproxy_sessions_backend", about("Haproxy sessions of backends", "sessions", "loadbalancer", "--base 1000 -l 0"))
		r := plain("haproxy_requests", about("Haproxy requests", "requests / ${graph_period}", "loadbalancer", "--base 1000 -l 0", "graph_total total"))
		e := plain("haproxy_errors", about("Haproxy connection errors", "errors / ${graph_period}", "loadbalancer", "--base 1000 -l 0"))
		for i := 1; i <= 6; i++ {
			name := fmt.Sprintf("www%d", i)
			requests := h.follows(name, 2*share, 46*share)
			failed := h.seldom("e"+name, 0.01, 0.5)
			if i == 6 { // It is silent, and has no more work.
				requests, failed = since(requests, h.fleet.story.silent, 0), since(failed, h.fleet.story.silent, 0)
			}
			draw := "draw STACK"
			if i == 1 {
				draw = "draw AREA"
			}
			p.graphs[0].fields = append(p.graphs[0].fields, gauge(name, name, whole(scaled(requests, 0.35))))
			r.graphs[0].fields = append(r.graphs[0].fields, derive(name, name, requests, draw))
			e.graphs[0].fields = append(e.graphs[0].fields, derive(name, name, failed, "warning 5"))
		}
		return []plugin{p, r, e}
	}
}

func varnish(h *Host) []plugin {
	requests := h.follows("varnish", 20, 410)
	hit := capped(h.around("hit", 0.91, 0.04), 0, 1)
	return []plugin{
		plain("varnish_request_rate", about("Request rates", "requests / ${graph_period}", "webserver", "--base 1000 -l 0"),
			derive("cache_hit", "Cache hits", func(m *moment) float64 { return requests(m) * hit(m) }, "draw AREA"),
			derive("cache_miss", "Cache misses", func(m *moment) float64 { return requests(m) * (1 - hit(m)) }, "draw STACK"),
			derive("cache_hitpass", "Cache hitpass", scaled(requests, 0.012), "draw STACK")),
		plain("varnish_hit_rate", about("Hit rates", "%", "webserver", "-l 0 -u 100 --rigid", "graph_scale no"),
			gauge("hit", "hits", scaled(hit, 100), "warning 80:")),
		plain("varnish_memory_usage", about("Memory usage", "bytes", "webserver", "--base 1024 -l 0"),
			gauge("balance", "Allocated", h.around("varnishmem", 5.6*(1<<30), 0.08))),
	}
}

func mysql(queries float64, replica bool) service {
	return func(h *Host) []plugin {
		q := func(name string, share float64) signal { return h.follows("q"+name, queries*0.06*share, queries*share) }
		pool := 0.6 * h.spec.gib * (1 << 30)
		free := capped(h.around("pool", pool*0.05, 0.9), 0, pool)
		all := []plugin{
			plain("mysql_queries", about("MySQL queries", "queries / ${graph_period}", "mysql", "--base 1000 -l 0", "graph_total total",
				"graph_order select insert update delete replace"),
				derive("select", "Selects", q("select", 0.79), "draw AREA"),
				derive("insert", "Inserts", q("insert", 0.09), "draw STACK"),
				derive("update", "Updates", q("update", 0.08), "draw STACK"),
				derive("delete", "Deletes", q("delete", 0.03), "draw STACK"),
				derive("replace", "Replaces", q("replace", 0.01), "draw STACK")),
			plain("mysql_connections", about("MySQL connections", "Connections", "mysql", "--base 1000 -l 0"),
				gauge("Threads_connected", "Threads connected", whole(h.follows("threads", 20, 130))),
				gauge("Max_used_connections", "Max used", constant(311)),
				gauge("max_connections", "Max connections", constant(500))),
			plain("mysql_innodb_bpool", about("InnoDB Buffer Pool", "Pages in bytes", "mysql", "--base 1024 -l 0"),
				gauge("ib_bpool_size", "Buffer pool size", constant(pool), "draw LINE2"),
				gauge("ib_bpool_dbpages", "Database pages", func(m *moment) float64 { return pool*0.97 - free(m) }, "draw AREA"),
				gauge("ib_bpool_free", "Free pages", free, "draw STACK")),
			plain("mysql_network_traffic", about("MySQL network traffic", "Bytes received (-) / sent (+) per ${graph_period}", "mysql", "--base 1024"),
				derive("received", "Bytes transferred", q("netin", 300), "graph no"),
				derive("sent", "Bytes transferred", q("netout", 2600), "negative received")),
			plain("mysql_slow", about("MySQL slow queries", "slow queries / ${graph_period}", "mysql", "--base 1000 -l 0"),
				derive("slow", "Slow Queries", func(m *moment) float64 { return 0.004*queries/100 + 0.6*m.dusk }, "warning 5")),
		}
		if replica {
			seed := h.seed("lag")
			all = append(all, plain("mysql_replication", about("MySQL replication", "seconds", "mysql", "--base 1000 -l 0"),
				gauge("seconds_behind_master", "Seconds behind master", func(m *moment) float64 {
					return math.Round(m.dusk * 340 * (1 + 0.5*wander(seed, m.t, hour)))
				}, "warning 300", "critical 900")))
		}
		return all
	}
}

func postgres(h *Host) []plugin {
	work := h.follows("transactions", 4, 130)
	size := func(name string, gib, perDay float64) signal {
		seed := h.seed(name)
		return func(m *moment) float64 { return max(gib-perDay*m.ago+0.01*wander(seed, m.t, day), 0.2) * (1 << 30) }
	}
	return []plugin{
		plain("postgres_connections_ALL", about("PostgreSQL connections", "Connections", "postgresql", "--base 1000 -l 0"),
			gauge("active", "active", whole(h.follows("pgactive", 1, 14)), "draw AREA"),
			gauge("idle", "idle", whole(h.follows("pgidle", 12, 20)), "draw STACK"),
			gauge("idletransaction", "idle transaction", whole(h.seldom("pgidlet", 0.1, 3)), "draw STACK", "warning 20")),
		plain("postgres_size_ALL", about("PostgreSQL database sizes", "Size", "postgresql", "--base 1024 -l 0"),
			gauge("shop", "shop", size("shop", 148, 0.21), "draw AREA"),
			gauge("accounts", "accounts", size("accounts", 31, 0.03), "draw STACK"),
			gauge("metrics", "metrics", size("metrics", 12, 0.028), "draw STACK")),
		plain("postgres_transactions_ALL", about("PostgreSQL transactions", "Transactions per ${graph_period}", "postgresql", "--base 1000 -l 0"),
			derive("commit", "commits", work, "draw AREA"),
			derive("rollback", "rollbacks", scaled(work, 0.013), "draw STACK")),
		plain("postgres_locks_ALL", about("PostgreSQL locks", "Locks", "postgresql", "--base 1000 -l 0"),
			gauge("accesssharelock", "AccessShareLock", whole(h.follows("share", 2, 30))),
			gauge("rowexclusivelock", "RowExclusiveLock", whole(h.follows("rowx", 0, 9))),
			gauge("exclusivelock", "ExclusiveLock", whole(h.follows("excl", 0, 5)))),
	}
}

func redis(h *Host) []plugin {
	return []plugin{
		plain("redis_commands", about("Redis commands per second", "commands/sec", "redis", "--base 1000 -l 0"),
			derive("commands", "commands", h.follows("commands", 120, 5200))),
		plain("redis_memory", about("Redis memory", "bytes", "redis", "--base 1024 -l 0"),
			gauge("used", "used", h.follows("redismem", 2.1*(1<<30), 0.9*(1<<30))),
			gauge("rss", "resident", h.follows("redisrss", 2.9*(1<<30), 0.9*(1<<30)))),
		plain("redis_keys", about("Redis hits and misses", "keys / ${graph_period}", "redis", "--base 1000 -l 0"),
			derive("hits", "hits", h.follows("rhits", 100, 4400), "draw AREA"),
			derive("misses", "misses", h.follows("rmiss", 8, 260), "draw STACK")),
	}
}

func postfix(h *Host) []plugin {
	deferred := whole(h.follows("deferred", 22, 30))
	if h.spec.queue > 0 {
		calm, from := deferred, h.spec.queue
		deferred = func(m *moment) float64 {
			if m.ago > from {
				return calm(m)
			}
			return math.Round(calm(m) + 2050*(1-math.Exp(-(from-m.ago)*14)))
		}
	}
	queue := func(name string) signal { return whole(h.seldom(name, 0.05, 4)) }
	delivered := h.follows("delivered", 0.05, 1.4)
	return []plugin{
		plain("postfix_mailqueue", about("Postfix Mailqueue", "Mails in queue", "postfix", "--base 1000 -l 0",
			"graph_order active maildrop incoming deferred corrupt hold", "graph_total Total"),
			gauge("active", "active", queue("active"), "draw AREA"),
			gauge("maildrop", "maildrop", queue("maildrop"), "draw STACK"),
			gauge("incoming", "incoming", queue("incoming"), "draw STACK"),
			gauge("deferred", "deferred", deferred, "draw STACK", "warning 1000", "critical 5000"),
			gauge("corrupt", "corrupt", constant(0), "draw STACK", "warning 0"),
			gauge("hold", "held", constant(0), "draw STACK")),
		plain("postfix_mailvolume", about("Postfix bytes throughput", "bytes / ${graph_period}", "postfix", "--base 1000 -l 0"),
			derive("volume", "delivered volume", scaled(delivered, 84e3))),
		plain("postfix_mailstats", about("Postfix message throughput", "mails / ${graph_period}", "postfix", "--base 1000 -l 0", "graph_total rejects",
			"graph_period minute"),
			derive("delivered", "delivered", delivered, "draw LINE2"),
			derive("r450", "reject 450", h.follows("r450", 0.02, 0.08), "draw AREA"),
			derive("r554", "reject 554", h.follows("r554", 0.3, 0.3), "draw STACK")),
	}
}

func dovecot(h *Host) []plugin {
	return []plugin{
		plain("dovecot", about("Dovecot Logins", "Daily Login Counters", "mail", "--base 1000 -l 0"),
			gauge("connected", "Connected Users", whole(h.follows("connected", 60, 540))),
			gauge("login_tls", "TLS Logins", whole(h.follows("tls", 20, 230)))),
	}
}

func spam(h *Host) []plugin {
	return []plugin{
		plain("spamstats", about("SpamAssassin stats", "SpamAssassin mail/sec", "mail", "--base 1000 -l 0", "graph_order spam ham"),
			derive("spam", "spam", h.follows("spam", 0.6, 0.5), "draw AREA"),
			derive("ham", "ham", h.follows("ham", 0.05, 1.1), "draw STACK")),
		plain("clamav", about("ClamAV findings", "findings / ${graph_period}", "mail", "--base 1000 -l 0", "graph_period hour"),
			derive("virus", "viruses", h.seldom("virus", 0.06, 0.004))),
	}
}
