/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device in a GLib main loop, with the names that libvhost-user's programs know.
 *
 * Everything is here: the library itself does not link GLib, a program that includes
 * this does.  Sources are attached to the thread's default main context.
 *
 * Threads: the one that runs that context.
 */
#ifndef LIBVU_LIBVHOST_USER_GLIB_H
#define LIBVU_LIBVHOST_USER_GLIB_H

#include <glib.h>
#include <libvu/libvhost-user.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A device and its sources.  It may be the first member of a larger structure. */
typedef struct VugDev {
	VuDev parent;
	GHashTable *fdmap; /* fd to its source; NULL after vug_deinit() */
	GSource *src;	   /* the front-end's socket */
} VugDev;

/* What GLib polls, and whom it tells. */
struct vug__source {
	GSource parent;
	VuDev *dev;
	GPollFD poll;
};

static inline gboolean vug__prepare(GSource *source, gint *timeout)
{
	(void)source;
	*timeout = -1;
	return FALSE;
}

static inline gboolean vug__check(GSource *source)
{
	const struct vug__source *s = (const struct vug__source *)source;

	return (s->poll.revents & s->poll.events) != 0;
}

static inline gboolean vug__dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
	struct vug__source *s = (struct vug__source *)source;

	((vu_watch_cb)(void (*)(void))callback)(s->dev, s->poll.revents, data);
	return TRUE;
}

/**
 * vug_source_new - call back when a file descriptor is ready
 * @dev: handed to @vu_cb
 * @fd: stays the caller's
 * @cond: what to wait for
 * @vu_cb: called from the main loop
 * @data: handed to @vu_cb
 *
 * Returns: an attached source, for vug_source_destroy().
 */
static inline GSource *vug_source_new(VugDev *dev, int fd, GIOCondition cond,
				      vu_watch_cb vu_cb, gpointer data)
{
	static GSourceFuncs funcs = {vug__prepare, vug__check, vug__dispatch, NULL, NULL, NULL};
	GSource *source = g_source_new(&funcs, sizeof(struct vug__source));
	struct vug__source *s = (struct vug__source *)source;

	s->dev = &dev->parent;
	s->poll.fd = fd;
	s->poll.events = (gushort)cond;
	g_source_set_callback(source, (GSourceFunc)(void (*)(void))vu_cb, data, NULL);
	g_source_add_poll(source, &s->poll);
	g_source_attach(source, g_main_context_get_thread_default());
	return source;
}

/**
 * vug_source_destroy - end that
 * @src: released; may be NULL
 */
static inline void vug_source_destroy(GSource *src)
{
	if (!src)
		return;
	g_source_destroy(src);
	g_source_unref(src);
}

static inline void vug__set_watch(VuDev *dev, int fd, int condition, vu_watch_cb cb, void *data)
{
	VugDev *vdev = (VugDev *)dev;

	if (vdev->fdmap)
		g_hash_table_replace(vdev->fdmap, GINT_TO_POINTER(fd),
				     vug_source_new(vdev, fd, (GIOCondition)condition, cb, data));
}

static inline void vug__remove_watch(VuDev *dev, int fd)
{
	VugDev *vdev = (VugDev *)dev;

	if (vdev->fdmap)
		g_hash_table_remove(vdev->fdmap, GINT_TO_POINTER(fd));
}

/* The end is told of once, and the socket, readable for ever, not looked at again. */
static inline void vug__readable(VuDev *dev, int condition, void *data)
{
	VugDev *vdev = (VugDev *)dev;

	(void)condition;
	(void)data;
	if (vu_dispatch(dev))
		return;
	g_source_destroy(vdev->src);
	if (!dev->broken)
		dev->panic(dev, "the front-end has closed the connection");
}

/**
 * vug_init - vu_init() with a GLib main loop around it
 * @panic: called also, and this is how a program learns of it, when the front-end has
 *	closed the connection
 *
 * The other arguments and the result are those of vu_init().
 */
static inline bool vug_init(VugDev *dev, uint16_t max_queues, int socket, vu_panic_cb panic,
			    const VuDevIface *iface)
{
	dev->fdmap = NULL;
	dev->src = NULL;
	if (!vu_init_read_msg(&dev->parent, max_queues, socket, panic, NULL, vug__set_watch,
			      vug__remove_watch, iface))
		return FALSE;
	dev->fdmap = g_hash_table_new_full(NULL, NULL, NULL,
					   (GDestroyNotify)vug_source_destroy);
	dev->src = vug_source_new(dev, socket, G_IO_IN, vug__readable, NULL);
	return TRUE;
}

/**
 * vug_deinit - take the device out of the main loop
 * @dev: vu_deinit() of its parent may follow
 */
static inline void vug_deinit(VugDev *dev)
{
	g_hash_table_unref(dev->fdmap);
	dev->fdmap = NULL;
	vug_source_destroy(dev->src);
	dev->src = NULL;
}

#ifdef __cplusplus
}
#endif

#endif
