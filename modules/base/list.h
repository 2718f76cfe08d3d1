/*
 * list: an intrusive doubly linked list that knows its length.  A node knows
 * its list, so that it can only ever be taken out of the list that it is in.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct list;

struct list_node {
	struct list_node *next;
	struct list_node *prev;
	struct list *list; /* NULL: in no list */
};

struct list {
	struct list_node head; /* head.next is the first, head.prev the last */
	uint32_t count;
};

static inline void
list_init(struct list *list)
{
	list->head.next = list->head.prev = &list->head;
	list->head.list = list;
	list->count = 0;
}

static inline bool
list_contains(const struct list_node *node)
{
	return node->list != NULL;
}

static inline void
list_insert_before(struct list *list, struct list_node *place, struct list_node *node)
{
	assert(node->list == NULL && place->list == list);
	node->list = list;
	node->prev = place->prev;
	node->next = place;
	place->prev->next = node;
	place->prev = node;
	list->count++;
}

static inline void
list_append(struct list *list, struct list_node *node)
{
	list_insert_before(list, &list->head, node);
}

static inline void
list_prepend(struct list *list, struct list_node *node)
{
	list_insert_before(list, list->head.next, node);
}

/* Takes the node out of whichever list it is in; nothing if in none. */
static inline void
list_remove(struct list_node *node)
{
	if (node->list == NULL)
		return;
	node->list->count--;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->next = node->prev = NULL;
	node->list = NULL;
}

static inline struct list_node *
list_first(const struct list *list)
{
	return list->count ? list->head.next : NULL;
}

/* The node after this one in its list, or NULL at the end. */
static inline struct list_node *
list_next(const struct list_node *node)
{
	return node->next == &node->list->head ? NULL : node->next;
}

static inline struct list_node *
list_take_first(struct list *list)
{
	struct list_node *node = list_first(list);
	if (node != NULL)
		list_remove(node);
	return node;
}

/* for each node; the body may not remove any other node than this one */
#define list_each(list, node)                                                                                       \
	for (struct list_node *node = list_first(list), *node##_next = node ? list_next(node) : NULL; node != NULL; \
	     node = node##_next, node##_next = node ? list_next(node) : NULL)

#endif
