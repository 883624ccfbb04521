package demo

import "time"

// story is when what happened.
type story struct {
	deploy time.Time
	ago    float64 // days since the deploy
	silent float64 // days since a host fell silent
}

func newStory(now time.Time) story {
	deploy := time.Date(now.Year(), now.Month(), now.Day(), 14, 5, 0, 0, now.Location())
	if now.Sub(deploy) < 30*time.Minute {
		deploy = time.Date(now.Year(), now.Month(), now.Day()-1, 14, 5, 0, 0, now.Location())
	}
	return story{deploy: deploy, ago: now.Sub(deploy).Hours() / 24, silent: silentFor.Hours() / 24}
}

const silentFor = 6*time.Hour + 40*time.Minute

// spec is what makes one host differ from another.
type spec struct {
	name, group string
	roles, tags []string
	services    []service

	rhythm   *shape
	growth   float64 // of the work, in a year
	cpus     int
	gib      float64 // of memory
	physical bool
	disks    []string
	mounts   []mount

	busy, waits float64 // share of the processors at work 1; of that, waiting for disks besides
	nightLoad   float64 // share of the processors that the nightly jobs take
	nightAt     float64 // hour of the clock
	nightFor    float64 // hours
	nightIO     float64 // requests a second
	nightNet    float64 // Mbit/s that come in
	apps        float64 // share of memory that programs use
	leak        float64 // share of memory that a leak takes in a week
	mbit        float64 // sent at work 1
	receives    float64 // share of mbit that is received
	iops        float64
	spindle     float64 // requests a second that keep a disk fully busy

	silent                          time.Duration // for so long
	deployed                        bool          // the deploy was here
	failedDisk                      string
	failed                          float64 // days ago
	queue                           float64 // a mail queue has been growing for so many days
	clockLost                       float64 // the offset has been unknown for so many days
	noTime                          bool    // has no plugin for the clock
	busier, busierFrom, busierUntil float64 // had more work between two numbers of days ago
}

// virtual begins the spec of a virtual machine.
func virtual(group, name, role string, cpus int, gib float64) spec {
	return spec{
		group: group, name: name, roles: []string{role, "virtual"}, cpus: cpus, gib: gib, disks: []string{"vda"}, spindle: 4000,
		mounts: []mount{{device: "vda1", path: "/", now: 41, perDay: 0.01, weekly: 1.5}},
		busy:   0.35, waits: 0.02, apps: 0.42, mbit: 12, receives: 0.3, iops: 40, nightAt: 2, nightFor: 0.7, nightLoad: 0.12, nightIO: 60, growth: 0.2,
	}
}

// hardware begins the spec of a machine that can be touched.
func hardware(group, name, role string, cpus int, gib float64, disks ...string) spec {
	s := virtual(group, name, role, cpus, gib)
	s.roles, s.disks, s.physical, s.spindle = []string{role, "physical"}, disks, true, 1500
	s.mounts = []mount{{device: disks[0] + "1", path: "/", now: 33, perDay: 0.008, weekly: 1}}
	return s
}

func (f *Fleet) specs() []spec {
	var all []spec
	for _, group := range [][]spec{f.web(), f.databases(), f.mail(), f.office()} {
		all = append(all, group...)
	}
	return all
}

func (f *Fleet) web() []spec {
	rhythm := newShape(0.12, 1.15, peak{11, 3.2, 0.55}, peak{15.5, 2.5, 0.3}, peak{20.5, 2.6, 0.6})
	var all []spec
	for i, name := range []string{"lb1", "lb2"} {
		s := virtual("web", name, "loadbalancer", 4, 8)
		share := []float64{1, 0.06}[i]
		s.services, s.busy, s.mbit, s.receives, s.apps = []service{haproxy(share)}, 0.05+0.25*share, 340*share, 0.9, 0.2
		if i == 0 {
			s.busier, s.busierFrom, s.busierUntil = 0.05, 93, 90.6 // it was replaced, and the other one did its work
		} else {
			s.busier, s.busierFrom, s.busierUntil = 16, 93, 90.6
		}
		all = append(all, s)
	}
	for i := 1; i <= 6; i++ {
		s := virtual("web", "www"+string(rune('0'+i)), "webserver", 8, 16)
		s.services, s.busy, s.mbit = []service{nginx(46)}, 0.4, 54
		s.deployed = i <= 4
		s.mounts = append(s.mounts, mount{device: "vda2", path: "/var/log", now: 38, perDay: 0.02, weekly: 18})
		switch i {
		case 3:
			s.leak = 0.3
		case 5:
			s.noTime = true
		case 6:
			s.silent, s.noTime = silentFor, true
		}
		all = append(all, s)
	}
	cache := virtual("web", "cache1", "cache", 4, 16)
	cache.services, cache.mbit, cache.apps, cache.busy = []service{varnish}, 210, 0.5, 0.22
	all = append(all, cache)
	for i := range all {
		all[i].rhythm, all[i].growth = rhythm, 0.42
		all[i].tags = append(all[i].tags, "owner=web-team", "site=fra1")
	}
	return all
}

func (f *Fleet) databases() []spec {
	rhythm := newShape(0.15, 0.95, peak{11, 3.5, 0.6}, peak{15.5, 2.5, 0.3}, peak{20.5, 2.8, 0.5})
	var all []spec
	for i, name := range []string{"db1", "db2", "db3", "db4"} {
		s := hardware("db", name, "database", 16, 64, "sda", "sdb")
		s.services = []service{mysql([]float64{2400, 1500, 1400, 300}[i], i > 0), raid("raid1")}
		s.busy, s.waits, s.apps, s.mbit, s.iops = []float64{0.42, 0.3, 0.28, 0.12}[i], 0.12, 0.71, 85, 310
		s.nightAt, s.nightFor, s.nightIO, s.nightLoad = 1.5, 1.6, 380, 0.15
		data := mount{device: "md0", path: "/var/lib/mysql", now: []float64{63, 94.1, 61.5, 58}[i], perDay: 0.06, cleaned: 160, freed: 9}
		if name == "db2" {
			data = mount{device: "md0", path: "/var/lib/mysql", now: 94.1, perDay: 0.31, knee: 130, before: 0.02}
		}
		s.mounts = append(s.mounts, data)
		all = append(all, s)
	}
	for _, name := range []string{"pg1", "pg2"} {
		s := hardware("db", name, "database", 12, 48, "nvme0n1", "nvme1n1")
		s.services, s.spindle, s.iops, s.apps, s.mbit, s.busy = []service{postgres}, 20000, 900, 0.5, 60, 0.24
		s.mounts = append(s.mounts, mount{device: "nvme1n1p1", path: "/var/lib/postgresql", now: 57, perDay: 0.075})
		all = append(all, s)
	}
	r := virtual("db", "redis1", "cache", 4, 16)
	r.services, r.busy, r.mbit = []service{redis}, 0.16, 45
	all = append(all, r)
	for i := range all {
		all[i].rhythm, all[i].growth = rhythm, 0.35
		all[i].tags = append(all[i].tags, "owner=dba", "site=fra1")
	}
	return all
}

func (f *Fleet) mail() []spec {
	rhythm := newShape(0.25, 0.3, peak{9.5, 2, 0.7}, peak{14, 2.5, 0.5})
	var all []spec
	for i, name := range []string{"mx1", "mx2"} {
		s := virtual("mail", name, "mailserver", 4, 8)
		s.services, s.busy, s.mbit, s.receives = []service{postfix}, 0.2, 8, 1.4
		s.queue = []float64{0, 0.16}[i]
		all = append(all, s)
	}
	for i, name := range []string{"imap1", "imap2"} {
		s := hardware("mail", name, "mailserver", 8, 32, "sda", "sdb")
		s.services, s.busy, s.iops, s.mbit = []service{dovecot, raid("raid1")}, 0.18, 260, 30
		box := mount{device: "md0", path: "/var/mail", now: 87.6, perDay: 0.19}
		if i == 1 {
			box.now, box.perDay = 52, 0.08
		}
		s.mounts = append(s.mounts, box)
		all = append(all, s)
	}
	s := virtual("mail", "spam1", "mailserver", 4, 8)
	s.services, s.busy, s.clockLost = []service{spam}, 0.45, 2.3
	all = append(all, s)
	for i := range all {
		all[i].rhythm, all[i].growth = rhythm, 0.15
		all[i].tags = append(all[i].tags, "owner=mail-team", "site=fra2")
	}
	return all
}

func (f *Fleet) office() []spec {
	nas := hardware("office", "nas1", "fileserver", 4, 16, "sda", "sdb", "sdc", "sdd")
	nas.services, nas.iops, nas.mbit, nas.spindle = []service{nfs, raid("raid6")}, 120, 160, 420
	nas.failedDisk, nas.failed = "sdc", 9.2
	nas.mounts = append(nas.mounts, mount{device: "md0", path: "/srv/files", now: 71, perDay: 0.19, cleaned: 100, freed: 38},
		mount{device: "md1", path: "/srv/archive", now: 44, perDay: 0.05})
	backup := hardware("office", "backup1", "backup", 8, 32, "sda", "sdb", "sdc")
	backup.services, backup.busy, backup.mbit, backup.iops = []service{backups, raid("raid5")}, 0.03, 1, 8
	backup.nightAt, backup.nightFor, backup.nightNet, backup.nightIO, backup.nightLoad = 1, 4.2, 780, 260, 0.5
	backup.mounts = append(backup.mounts, mount{device: "md0", path: "/srv/backup", now: 66, perDay: 0.07, weekly: 6})
	all := []spec{nas, backup}
	for i, name := range []string{"build1", "build2"} {
		s := hardware("office", name, "build", 32, 128, "nvme0n1")
		s.services, s.busy, s.apps, s.iops, s.spindle = []service{builds}, []float64{0.95, 0.6}[i], 0.25, 700, 20000
		s.mounts = append(s.mounts, mount{device: "nvme0n1p2", path: "/var/cache/builds", now: 62, perDay: 0.01, weekly: 22})
		all = append(all, s)
	}
	vpn := virtual("office", "vpn1", "gateway", 2, 4)
	vpn.services, vpn.mbit = []service{openvpn}, 22
	all = append(all, vpn)
	for _, name := range []string{"dns1", "dns2"} {
		s := virtual("office", name, "nameserver", 2, 2)
		s.services, s.busy, s.mbit = []service{bind}, 0.1, 3
		all = append(all, s)
	}
	printer := virtual("office", "print1", "printserver", 2, 4)
	printer.services, printer.busy, printer.mbit, printer.noTime = []service{printing}, 0.08, 4, true
	wiki := virtual("office", "wiki1", "webserver", 4, 8)
	wiki.services, wiki.mbit = []service{apache}, 9
	all = append(all, printer, wiki)
	rhythm := newShape(0.06, 0.06, peak{10.2, 1.9, 0.8}, peak{14.6, 2, 0.75})
	for i := range all {
		all[i].rhythm, all[i].growth = rhythm, 0.1
		all[i].tags = append(all[i].tags, "owner=it", "site=hq")
	}
	return all
}
