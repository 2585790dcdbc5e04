/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs in the guest: talks to one of dev.c's devices without end.
 *
 *	chatter net INTERFACE	sends frames, each must come back as it was
 *	chatter fs FOLDER	asks for its size, which must grow by one each time
 *	chatter scsi FILE	has the controller's first target looked for, through the
 *				file "scan" of sysfs
 *
 * Standard input says "check", which is answered with a line of figures, or "end".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define ETHERTYPE 0x88b5 /* for local experiments */
#define FRAME	  1000

static unsigned long good, lost;

/* --- net --- */

static int open_interface(const char *name)
{
	struct sockaddr_ll addr = {.sll_family = AF_PACKET,
				   .sll_protocol = htons(ETHERTYPE)};
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETHERTYPE));
	struct ifreq req = {0};

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &req))
		return -1;
	req.ifr_flags |= IFF_UP | IFF_PROMISC;
	if (ioctl(fd, SIOCSIFFLAGS, &req) || ioctl(fd, SIOCGIFINDEX, &req))
		return -1;
	addr.sll_ifindex = req.ifr_ifindex;
	return bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ? -1 : fd;
}

static void make_frame(uint8_t *frame, uint32_t number)
{
	uint32_t noise = number * 2654435761u + 1;

	/* To a station and from one: not ours, so that nobody else cares. */
	memcpy(frame, "\x02vu-to\x02vu-fr\x88\xb5", ETH_HLEN);
	memcpy(frame + ETH_HLEN, &number, sizeof(number));
	for (unsigned int i = ETH_HLEN + sizeof(number); i < FRAME; i++) {
		noise = noise * 1664525 + 1013904223;
		frame[i] = noise >> 24;
	}
}

/* A frame may get lost while the machine moves; one that comes must be right. */
static bool echo(int fd)
{
	static uint32_t number;
	uint8_t sent[FRAME], got[FRAME + 64];
	struct pollfd p = {.fd = fd, .events = POLLIN};
	ssize_t len;

	make_frame(sent, ++number);
	if (send(fd, sent, sizeof(sent), 0) != sizeof(sent)) {
		perror("chatter: send");
		return false;
	}
	while (poll(&p, 1, 200) > 0) {
		len = recv(fd, got, sizeof(got), 0);
		if (len == sizeof(sent) && !memcmp(got, sent, sizeof(sent))) {
			good++;
			return true;
		}
		/* An earlier one that was late? */
		if (len == sizeof(sent)) {
			uint8_t late[FRAME];
			uint32_t n;

			memcpy(&n, got + ETH_HLEN, sizeof(n));
			make_frame(late, n);
			if (n < number && !memcmp(got, late, sizeof(late)))
				continue;
		}
		fprintf(stderr, "chatter: frame %u came back wrong, %zd bytes\n", number,
			len);
		return false;
	}
	lost++;
	return true;
}

/* --- fs --- */

static bool ask(const char *folder)
{
	static off_t last;
	struct stat st;

	if (stat(folder, &st)) {
		perror("chatter: stat");
		return false;
	}
	if (last && st.st_size != last + 1) {
		fprintf(stderr, "chatter: asked %llu times, it says %llu\n",
			(unsigned long long)last + 1, (unsigned long long)st.st_size);
		return false;
	}
	last = st.st_size;
	good++;
	return true;
}

/* --- scsi --- */

static bool look(const char *scan)
{
	int fd = open(scan, O_WRONLY);
	bool ok = fd >= 0 && write(fd, "0 0 0", 5) == 5;

	if (!ok)
		perror("chatter: scan");
	if (fd >= 0)
		close(fd);
	good += ok;
	return ok;
}

int main(int argc, char **argv)
{
	struct pollfd in = {.fd = 0, .events = POLLIN};
	bool net, scsi, ok = true, done = false;
	char word[32];
	int fd;

	if (argc != 3)
		return 2;
	net = !strcmp(argv[1], "net");
	scsi = !strcmp(argv[1], "scsi");
	fd = net ? open_interface(argv[2]) : 0;
	if (fd < 0) {
		perror("chatter");
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("VU-CHATTER started\n");
	while (ok && !done) {
		ok = net ? echo(fd) : scsi ? look(argv[2]) : ask(argv[2]);
		if (poll(&in, 1, 0) <= 0)
			continue;
		done = !fgets(word, sizeof(word), stdin) || !strncmp(word, "end", 3);
		printf("VU-CHATTER %s good=%lu lost=%lu\n", ok ? "ok" : "failed", good,
		       lost);
	}
	return !ok;
}
