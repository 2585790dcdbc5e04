/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A back-end on DPDK's net_vhost that sends every frame back, to be traced.
 *
 *	dpdk-echo EAL-OPTION... -- poll|interrupt
 *
 * With "interrupt" it sleeps until a queue is kicked, which testpmd does not do.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_interrupts.h>
#include <rte_mbuf.h>

#define BURST 32

static volatile sig_atomic_t end;

static void on_signal(int sig)
{
	(void)sig;
	end = 1;
}

static int start_port(uint16_t port, struct rte_mempool *pool, int interrupt)
{
	struct rte_eth_conf conf = {.intr_conf.rxq = interrupt};

	if (rte_eth_dev_configure(port, 1, 1, &conf) ||
	    rte_eth_rx_queue_setup(port, 0, 256, SOCKET_ID_ANY, NULL, pool) ||
	    rte_eth_tx_queue_setup(port, 0, 256, SOCKET_ID_ANY, NULL))
		return -1;
	return rte_eth_dev_start(port);
}

static void echo(uint16_t port)
{
	struct rte_mbuf *m[BURST];
	uint16_t n = rte_eth_rx_burst(port, 0, m, BURST), sent;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_ether_hdr *h = rte_pktmbuf_mtod(m[i], struct rte_ether_hdr *);
		struct rte_ether_addr a = h->dst_addr;

		h->dst_addr = h->src_addr;
		h->src_addr = a;
	}
	sent = rte_eth_tx_burst(port, 0, m, n);
	for (uint16_t i = sent; i < n; i++)
		rte_pktmbuf_free(m[i]);
}

/* The kick eventfd comes with the guest's driver: until then there is nothing to wait for. */
static int watch_kick(uint16_t port)
{
	if (rte_eth_dev_rx_intr_ctl_q(port, 0, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD, NULL))
		return 0;
	return 1;
}

int main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv), interrupt, watched = 0;
	struct rte_mempool *pool;

	if (used < 0 || used + 1 >= argc)
		return 2;
	interrupt = !strcmp(argv[used + 1], "interrupt");
	pool = rte_pktmbuf_pool_create("echo", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	if (!pool || start_port(0, pool, interrupt))
		return 1;
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	puts("echo: ready");
	fflush(stdout);
	while (!end) {
		struct rte_epoll_event ev;

		if (interrupt && !watched)
			watched = watch_kick(0);
		if (watched) {
			/* What came before kicks were asked for, makes none. */
			rte_eth_dev_rx_intr_enable(0, 0);
			echo(0);
		}
		if (interrupt)
			rte_epoll_wait(RTE_EPOLL_PER_THREAD, &ev, 1, watched ? 100 : 10);
		echo(0);
	}
	return 0;
}
