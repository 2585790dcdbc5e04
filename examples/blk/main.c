/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vu-blk: serves a file or block device as a vhost-user-blk device.  This file: the
 * command line, the socket, one front-end after the other.
 *
 * "Backend program conventions" of the vhost-user document name the options that every
 * such program has.
 */
#include "blk/blk.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <libvu/log.h>

enum { EXIT_USAGE = 2 };

/* Front-ends that may wait for the one that is served. */
#define WAITING 16

enum {
	OPT_CAPABILITIES = 256,
	OPT_READ_ONLY,
	OPT_SERIAL,
	OPT_BLOCK_SIZE,
	OPT_QUEUES,
	OPT_DEPTH,
	OPT_THREADS,
	OPT_CACHE,
	OPT_ONCE,
};

static const struct option long_options[] = {
	{"socket-path", required_argument, NULL, 's'},
	{"fd", required_argument, NULL, 'f'},
	{"blk-file", required_argument, NULL, 'b'},
	{"read-only", no_argument, NULL, OPT_READ_ONLY},
	{"print-capabilities", no_argument, NULL, OPT_CAPABILITIES},
	{"serial", required_argument, NULL, OPT_SERIAL},
	{"block-size", required_argument, NULL, OPT_BLOCK_SIZE},
	{"num-queues", required_argument, NULL, OPT_QUEUES},
	{"queue-depth", required_argument, NULL, OPT_DEPTH},
	{"threads", no_argument, NULL, OPT_THREADS},
	{"cache", required_argument, NULL, OPT_CACHE},
	{"once", no_argument, NULL, OPT_ONCE},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static const char help_text[] =
	"Usage: vu-blk --blk-file=FILE {--socket-path=PATH | --fd=FD} [OPTION]...\n"
	"Serve a file or block device as a vhost-user-blk device.\n"
	"\n"
	"  -s, --socket-path=PATH   listen there, serve one front-end after the other\n"
	"  -f, --fd=FD              serve the front-end at this connected socket, then end\n"
	"  -b, --blk-file=FILE      the disk's contents\n"
	"      --read-only          refuse writes\n"
	"      --serial=TEXT        what the guest sees as serial number, up to 20 bytes\n"
	"      --block-size=BYTES   logical block: 512 (default) or 4096\n"
	"      --num-queues=N       virtqueues, 1 (default) to 64\n"
	"      --queue-depth=N      requests in flight a queue, 1 to 4096, default 128\n"
	"      --threads            a thread for each queue\n"
	"      --cache=MODE         auto (direct where possible; default), direct, buffered\n"
	"      --once               end when the first front-end has left\n"
	"      --print-capabilities print what this program can do, as JSON\n"
	"  -v, --verbose            say when front-ends come and go\n"
	"  -h, --help\n"
	"  -V, --version\n";

/* --- the command line --- */

static bool number(const char *name, const char *text, long min, long max, unsigned int *out)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || end == text || *end || n < min || n > max) {
		say("--%s: '%s' is not a number from %ld to %ld", name, text, min, max);
		return false;
	}
	*out = n;
	return true;
}

static bool cache_mode(const char *text, struct options *o)
{
	static const char *const names[] = {"auto", "direct", "buffered"};

	for (unsigned int i = 0; i < 3; i++) {
		if (!strcmp(text, names[i])) {
			o->cache = i;
			return true;
		}
	}
	say("--cache: '%s' is not auto, direct or buffered", text);
	return false;
}

/* Sets what option @c says; false after saying what is wrong with it. */
static bool set_option(int c, struct options *o)
{
	unsigned int n;

	switch (c) {
	case 's':
		o->socket_path = optarg;
		return true;
	case 'f':
		if (!number("fd", optarg, 0, INT_MAX, &n))
			return false;
		o->fd = n;
		return true;
	case 'b':
		o->file = optarg;
		return true;
	case OPT_READ_ONLY:
		o->read_only = true;
		return true;
	case OPT_SERIAL:
		o->serial = optarg;
		if (strlen(optarg) <= SERIAL_SIZE)
			return true;
		say("--serial: '%s' is longer than %d bytes", optarg, SERIAL_SIZE);
		return false;
	case OPT_BLOCK_SIZE:
		if (!number("block-size", optarg, 512, 4096, &o->block_size))
			return false;
		if (o->block_size == 512 || o->block_size == 4096)
			return true;
		say("--block-size: %s is neither 512 nor 4096", optarg);
		return false;
	case OPT_QUEUES:
		return number("num-queues", optarg, 1, MAX_QUEUES, &o->num_queues);
	case OPT_DEPTH:
		return number("queue-depth", optarg, 1, 4096, &o->depth);
	case OPT_CACHE:
		return cache_mode(optarg, o);
	case OPT_THREADS:
		o->threads = true;
		return true;
	case OPT_ONCE:
		o->once = true;
		return true;
	case 'v':
		o->verbose = true;
		return true;
	}
	return false;
}

static bool options_complete(const struct options *o)
{
	if (!o->file || !*o->file)
		say("--blk-file: missing; try --help");
	else if (!o->socket_path == (o->fd < 0))
		say("one of --socket-path and --fd is needed; try --help");
	else if (o->socket_path && !*o->socket_path)
		say("--socket-path: empty");
	else
		return true;
	return false;
}

/* Says what getopt_long() did not like of argv. */
static void say_misused(int c, char **argv)
{
	if (c == ':')
		say("%s: needs a value", argv[optind - 1]);
	else if (optopt >= OPT_CAPABILITIES)
		say("%s: takes no value", argv[optind - 1]);
	else if (optopt)
		say("-%c: not known; try --help", optopt);
	else
		say("%s: not known; try --help", argv[optind - 1]);
}

/* "Back-end program conventions": this one wins, whatever else is there. */
static bool wants_capabilities(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--print-capabilities"))
			return true;
	}
	return false;
}

/* -1 to go on, else the exit status. */
static int parse(int argc, char **argv, struct options *o)
{
	int c;

	if (wants_capabilities(argc, argv)) {
		puts("{\n  \"type\": \"block\",\n"
		     "  \"features\": [\"read-only\", \"blk-file\"]\n}");
		return EXIT_SUCCESS;
	}
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":s:f:b:vhV", long_options, NULL)) >= 0) {
		switch (c) {
		case 'h':
			fputs(help_text, stdout);
			return EXIT_SUCCESS;
		case 'V':
			printf("vu-blk %s\n", vu_version());
			return EXIT_SUCCESS;
		case ':':
		case '?':
			say_misused(c, argv);
			return EXIT_USAGE;
		default:
			if (!set_option(c, o))
				return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		say("%s: not expected; try --help", argv[optind]);
		return EXIT_USAGE;
	}
	return options_complete(o) ? -1 : EXIT_USAGE;
}

/* --- one front-end --- */

struct server {
	struct blk blk;
	int listener; /* -1 with --fd */
	/* The socket's file, and which one it is: another may have come in its place. */
	struct sockaddr_un path;
	ino_t inode;
	int signals;
	bool connected;
	bool done;
};

static void listen_again(struct server *s);

static void on_panic(VuDev *dev, const char *text)
{
	/* The library has logged it; the connection ends when vu_dispatch() returns. */
	(void)dev;
	(void)text;
}

/* What set_watch gave, kept until remove_watch. */
struct watch {
	VuDev *dev;
	vu_watch_cb cb;
	void *data;
};

static struct watch *watches;
static int nwatches;

static void on_watch(void *opaque, int fd, uint32_t events)
{
	struct watch w = watches[fd];

	(void)opaque;
	w.cb(w.dev, events, w.data);
}

static void set_watch(VuDev *dev, int fd, int condition, vu_watch_cb cb, void *data)
{
	if (fd >= nwatches) {
		struct watch *bigger = realloc(watches, (fd + 16) * sizeof(*bigger));

		if (!bigger) {
			say("watching fd %d: out of memory", fd);
			return;
		}
		watches = bigger;
		nwatches = fd + 16;
	}
	watches[fd] = (struct watch){dev, cb, data};
	if (loop_set(((struct blk *)dev)->loop, fd, condition, on_watch, NULL))
		say("watching fd %d: %s", fd, strerror(errno));
}

static void remove_watch(VuDev *dev, int fd)
{
	loop_remove(((struct blk *)dev)->loop, fd);
}

static void disconnect(struct server *s)
{
	struct blk *b = &s->blk;
	int sock = b->dev.sock;

	if (!s->connected)
		return;
	loop_remove(b->loop, sock);
	vu_stop_queues(&b->dev);
	/* Those that were prepared and never started, too. */
	for (unsigned int i = 0; i < b->opt->num_queues; i++)
		queue_stop(&b->queues[i]);
	vu_deinit(&b->dev);
	close(sock);
	s->connected = false;
	say_verbose(b->opt, "front-end left");
}

static void on_message(void *opaque, int fd, uint32_t events)
{
	struct server *s = opaque;

	(void)fd;
	(void)events;
	if (vu_dispatch(&s->blk.dev))
		return;
	disconnect(s);
	if (s->listener < 0 || s->blk.opt->once)
		s->done = true;
	else
		listen_again(s);
}

/* Takes the socket. */
/* What tools call the disk. */
static const char *name_of(const char *file)
{
	const char *slash = strrchr(file, '/');

	return slash ? slash + 1 : file;
}

static bool connect_front_end(struct server *s, int sock)
{
	struct blk *b = &s->blk;

	if (!vu_init(&b->dev, b->opt->num_queues, sock, on_panic, set_watch, remove_watch,
		     &blk_iface)) {
		close(sock);
		return false;
	}
	vu_set_ext_ops(&b->dev, &blk_ext_ops);
	vu_set_device_name(&b->dev, name_of(b->opt->file));
	blk_init_config(b);
	s->connected = true;
	if (loop_set(b->loop, sock, POLLIN, on_message, s)) {
		say("watching the front-end: %s", strerror(errno));
		disconnect(s);
		return false;
	}
	say_verbose(b->opt, "front-end connected");
	return true;
}

static void on_connection(void *opaque, int fd, uint32_t events)
{
	struct server *s = opaque;
	int sock = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (sock < 0) {
		if (errno != EINTR && errno != EAGAIN && errno != ECONNABORTED)
			say("accept: %s", strerror(errno));
		return;
	}
	/* Others wait in the listening queue until this one has left. */
	if (connect_front_end(s, sock))
		loop_remove(s->blk.loop, fd);
}

static void listen_again(struct server *s)
{
	if (loop_set(s->blk.loop, s->listener, POLLIN, on_connection, s)) {
		say("listening: %s", strerror(errno));
		s->done = true;
	}
}

/* --- hand-over --- */

static ino_t inode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? 0 : st.st_ino;
}

static void close_listener(struct server *s)
{
	if (s->listener < 0)
		return;
	close(s->listener);
	s->listener = -1;
	if (s->inode && inode_of(s->path.sun_path) == s->inode)
		unlink(s->path.sun_path);
}

/* From now on front-ends come where they came to the other process. */
void server_adopt(VuDev *dev, int listener)
{
	struct server *s = (struct server *)dev;
	struct sockaddr_un path;
	socklen_t len = sizeof(path);

	say_verbose(s->blk.opt, "took a front-end over from another process");
	if (listener < 0 || getsockname(listener, (struct sockaddr *)&path, &len))
		return;
	close_listener(s);
	s->listener = listener;
	s->path = path;
	s->inode = inode_of(path.sun_path);
}

/* The other process has the socket's file now. */
void server_handed_over(VuDev *dev)
{
	struct server *s = (struct server *)dev;

	say_verbose(s->blk.opt, "handed the front-end over to another process");
	s->inode = 0;
	s->done = true;
}

/* --- the program --- */

static void on_signal(void *opaque, int fd, uint32_t events)
{
	struct server *s = opaque;
	struct signalfd_siginfo info;

	(void)events;
	if (read(fd, &info, sizeof(info)) == sizeof(info))
		s->done = true;
}

/* A socket that nobody listens on any more is in the way, any other file is not ours. */
static bool remove_stale(const char *path, const struct sockaddr_un *addr)
{
	struct stat st;
	int probe, err;

	if (lstat(path, &st))
		return true;
	if (!S_ISSOCK(st.st_mode)) {
		say("%s: exists and is not a socket", path);
		return false;
	}
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (probe < 0)
		return false;
	err = connect(probe, (const struct sockaddr *)addr, sizeof(*addr)) ? errno : 0;
	close(probe);
	if (err != ECONNREFUSED) {
		say("%s: %s", path, err ? strerror(err) : "another process serves it");
		return false;
	}
	return !unlink(path);
}

static int listen_on(const char *path, struct sockaddr_un *addr)
{
	int fd;

	if (strlen(path) >= sizeof(addr->sun_path)) {
		say("%s: longer than a socket's path can be", path);
		return -1;
	}
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	strcpy(addr->sun_path, path);
	if (!remove_stale(path, addr))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)addr, sizeof(*addr)) || listen(fd, WAITING)) {
		say("%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static bool check_fd(int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	if (!getpeername(fd, (struct sockaddr *)&peer, &len))
		return true;
	say("fd %d: %s", fd, strerror(errno));
	return false;
}

/* Better now than when a guest waits for its disk. */
static bool have_io_uring(const struct options *opt)
{
	struct io_uring ring;
	int ret = io_uring_queue_init(opt->depth, &ring, 0);

	if (ret) {
		say("io_uring: %s", strerror(-ret));
		return false;
	}
	io_uring_queue_exit(&ring);
	return true;
}

static int catch_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void on_log(enum vu_log_level level, const char *text, void *opaque)
{
	const struct options *opt = opaque;

	if (level <= VU_LOG_WARNING || level == VU_LOG_DEBUG || opt->verbose)
		say("%s", text);
}

static void init_queues(struct blk *b)
{
	for (int i = 0; i < MAX_QUEUES; i++) {
		b->queues[i].blk = b;
		b->queues[i].idx = i;
		b->queues[i].poll_timer = -1;
		pthread_mutex_init(&b->queues[i].lock, NULL);
	}
}

static bool open_server(struct server *s)
{
	const struct options *opt = s->blk.opt;

	s->listener = -1;
	s->signals = catch_signals();
	s->blk.loop = loop_new();
	if (s->signals < 0 || !s->blk.loop ||
	    loop_set(s->blk.loop, s->signals, POLLIN, on_signal, s)) {
		say("starting: %s", strerror(errno));
		return false;
	}
	if (opt->fd >= 0)
		return check_fd(opt->fd) && connect_front_end(s, opt->fd);
	s->listener = listen_on(opt->socket_path, &s->path);
	if (s->listener < 0)
		return false;
	s->inode = inode_of(opt->socket_path);
	listen_again(s);
	printf("vu-blk: ready on %s\n", opt->socket_path);
	fflush(stdout);
	return true;
}

static int run(struct server *s)
{
	int status = EXIT_FAILURE;

	if (open_server(s)) {
		status = EXIT_SUCCESS;
		while (!s->done) {
			if (loop_once(s->blk.loop)) {
				say("waiting: %s", strerror(errno));
				status = EXIT_FAILURE;
				break;
			}
		}
	}
	disconnect(s);
	close_listener(s);
	if (s->signals >= 0)
		close(s->signals);
	loop_free(s->blk.loop);
	free(watches);
	return status;
}

int main(int argc, char **argv)
{
	struct options opt = {
		.fd = -1, .serial = "vu-blk", .block_size = 512, .num_queues = 1, .depth = 128};
	static struct server server;
	int status = parse(argc, argv, &opt);

	if (status >= 0)
		return status;
	vu_set_log_callback(on_log, &opt);
	server.blk.opt = &opt;
	if (!have_io_uring(&opt) || image_open(&server.blk.image, &opt))
		return EXIT_FAILURE;
	init_queues(&server.blk);
	status = run(&server);
	image_close(&server.blk.image);
	return status;
}
