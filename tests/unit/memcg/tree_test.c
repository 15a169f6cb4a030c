/* tests/unit/memcg/tree_test.c - groups: creation, walks, removal, lifetime, statistics. */
#include "memcg/tree.h"
#include "test.h"

static struct mem_cgroup *make(struct mem_cgroup *parent, const char *name)
{
	int err = 1;
	struct mem_cgroup *memcg = memcg_create(parent, name, &err);

	assert_non_null(memcg);
	assert_int_equal(err, 0);
	return memcg;
}

/* Remove @memcg in one go; the caller's reference stays. */
static void remove_group(struct mem_cgroup *memcg)
{
	assert_int_equal(memcg_offline(memcg), 0);
	memcg_release(memcg);
}

static void remove_and_put(struct mem_cgroup *memcg)
{
	remove_group(memcg);
	memcg_put(memcg);
}

/* Wait until everything unreferenced is freed. A free may put the next: a group its parent and its
 * handle, so a chain of two groups takes three rounds. */
static void settle(void)
{
	for (int i = 0; i < 4; i++)
		rcu_flush();
}

/* The names below @top in walk order, one space after each. */
static const char *walk(struct mem_cgroup *top)
{
	static char names[256];

	names[0] = '\0';
	rcu_rd_lock();
	for (struct mem_cgroup *pos = top; pos; pos = memcg_next(top, pos)) {
		strcat(names, pos->name);
		strcat(names, " ");
	}
	rcu_rd_unlock();
	return names;
}

static struct mem_cgroup *next(struct mem_cgroup *top, struct mem_cgroup *prev)
{
	struct mem_cgroup *pos;

	rcu_rd_lock();
	pos = memcg_next(top, prev);
	rcu_rd_unlock();
	return pos;
}

TEST(a_tree_starts_with_its_root_alone)
{
	struct memcg_tree tree;

	assert_int_equal(memcg_tree_init(&tree), 0);
	assert_int_equal(tree.root->id, 1);
	assert_string_equal(tree.root->name, "");
	assert_null(tree.root->parent);
	assert_false(memcg_is_offline(tree.root));
	assert_ptr_equal(handle_memcg(tree.root->handle), tree.root);
	assert_int_equal(a32_load(&tree.nr_groups), 1);
	assert_int_equal(memcg_offline(tree.root), -EINVAL);
	memcg_tree_fini(&tree);
	assert_int_equal(a32_load(&tree.nr_groups), 0);
	assert_int_equal(a32_load(&tree.nr_handles), 0);
}

TEST(creation_refuses_bad_names_taken_names_and_offline_parents)
{
	char longest[MEMCG_NAME_MAX + 2];
	const char *bad[] = { "", "a/b", "/", "a\nb", longest };
	struct memcg_tree tree;
	struct mem_cgroup *a, *b;
	int err;

	memset(longest, 'x', sizeof(longest));
	longest[MEMCG_NAME_MAX + 1] = '\0';
	assert_int_equal(memcg_tree_init(&tree), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(memcg_create(tree.root, bad[i], &err));
		assert_int_equal(err, -EINVAL);
	}
	longest[MEMCG_NAME_MAX] = '\0';
	a = make(tree.root, longest);
	assert_string_equal(a->name, longest);
	assert_null(memcg_create(tree.root, longest, &err));
	assert_int_equal(err, -EEXIST);
	b = make(a, longest); /* another parent, another name space */
	remove_and_put(b);
	remove_group(a);
	assert_null(memcg_create(a, "late", &err));
	assert_int_equal(err, -ENOENT);
	memcg_put(a);
	remove_and_put(make(tree.root, longest)); /* a removed group's name is free */
	memcg_tree_fini(&tree);
}

/* Each allocation fails once; creation returns the error and leaves nothing. */
TEST(creation_survives_every_failed_allocation)
{
	struct memcg_tree tree;
	struct mem_cgroup *a = NULL;
	unsigned long nth = 1;
	int err;

	fault_arm(FAULT_ALLOC, 1);
	assert_int_equal(memcg_tree_init(&tree), -ENOMEM);
	fault_arm(FAULT_ALLOC, 2);
	assert_int_equal(memcg_tree_init(&tree), -ENOMEM);
	assert_int_equal(memcg_tree_init(&tree), 0);
	for (; !a; nth++) {
		fault_arm(FAULT_ALLOC, nth);
		a = memcg_create(tree.root, "a", &err);
		fault_arm(FAULT_ALLOC, 0);
		if (!a) {
			assert_int_equal(err, -ENOMEM);
			assert_int_equal(a32_load(&tree.nr_groups), 1);
			assert_int_equal(a32_load(&tree.nr_handles), 1);
			assert_int_equal(a32_load(&tree.root->ref), 1);
		}
	}
	assert_int_equal(nth, 4); /* the group, its handle, then nothing to fail */
	remove_and_put(a);
	memcg_tree_fini(&tree);
}

TEST(a_walk_is_in_pre_order_and_stays_below_its_top)
{
	struct memcg_tree tree;
	struct mem_cgroup *a, *b, *a1, *a2, *a1x;

	assert_int_equal(memcg_tree_init(&tree), 0);
	a = make(tree.root, "a");
	b = make(tree.root, "b");
	a1 = make(a, "a1");
	a2 = make(a, "a2");
	a1x = make(a1, "a1x");
	assert_string_equal(walk(tree.root), " a a1 a1x a2 b ");
	assert_string_equal(walk(a), "a a1 a1x a2 ");
	assert_string_equal(walk(a2), "a2 ");
	assert_true(memcg_is_descendant(a1x, a));
	assert_true(memcg_is_descendant(a, a));
	assert_false(memcg_is_descendant(a, a1x));
	assert_false(memcg_is_descendant(b, a));
	remove_and_put(a1x);
	remove_and_put(a1);
	assert_string_equal(walk(tree.root), " a a2 b ");
	remove_and_put(a2);
	remove_and_put(a);
	remove_and_put(b);
	memcg_tree_fini(&tree);
}

/* A walker with a reference continues where it was, though its group and others were removed, and
 * new ones were made. */
TEST(a_walk_goes_on_from_a_removed_group)
{
	struct memcg_tree tree;
	struct mem_cgroup *a, *b, *c, *d;

	assert_int_equal(memcg_tree_init(&tree), 0);
	a = make(tree.root, "a");
	b = make(tree.root, "b");
	c = make(tree.root, "c");
	remove_group(a);
	assert_ptr_equal(next(tree.root, a), b);
	remove_and_put(b); /* what a's own link still names */
	settle();
	assert_ptr_equal(next(tree.root, a), c);
	remove_group(c);
	d = make(tree.root, "d");
	assert_ptr_equal(next(tree.root, a), d);
	assert_ptr_equal(next(tree.root, c), d);
	assert_null(next(a, a));
	memcg_put(a);
	memcg_put(c);
	remove_and_put(d);
	memcg_tree_fini(&tree);
}

TEST(a_group_with_children_cannot_be_removed)
{
	struct memcg_tree tree;
	struct mem_cgroup *a, *b;

	assert_int_equal(memcg_tree_init(&tree), 0);
	a = make(tree.root, "a");
	b = make(a, "b");
	assert_int_equal(memcg_offline(a), -EBUSY);
	assert_false(memcg_is_offline(a));
	assert_int_equal(memcg_offline(b), 0);
	assert_int_equal(memcg_offline(b), -ENOENT);
	assert_int_equal(memcg_offline(a), -EBUSY); /* b's handles are still on their way to a */
	memcg_release(b);
	remove_and_put(a);
	memcg_put(b);
	memcg_tree_fini(&tree);
}

/* References keep the structure and its parents, not the name: removal is complete at once. */
TEST(a_removed_group_lives_until_its_last_reference_is_put)
{
	struct memcg_tree tree;
	struct mem_cgroup *a, *b;

	assert_int_equal(memcg_tree_init(&tree), 0);
	a = make(tree.root, "a");
	b = make(a, "b");
	remove_group(b);
	remove_and_put(a);
	settle();
	assert_int_equal(a32_load(&tree.nr_groups), 3);
	assert_true(memcg_tryget(b));
	memcg_put(b);
	rcu_rd_lock(); /* from here on b may be looked at, but not referenced */
	memcg_put(b);
	assert_false(memcg_tryget(b));
	rcu_rd_unlock();
	settle();
	assert_int_equal(a32_load(&tree.nr_groups), 1);
	memcg_tree_fini(&tree);
}

/* The owner a page points to changes as groups are removed, and dies with its pages. */
TEST(a_handle_moves_up_and_lives_as_long_as_its_pages)
{
	struct memcg_tree tree;
	struct mem_cgroup *a, *b;
	struct memcg_handle *h;

	assert_int_equal(memcg_tree_init(&tree), 0);
	a = make(tree.root, "a");
	b = make(a, "b");
	h = b->handle;
	handle_get_many(h, 3);
	assert_ptr_equal(handle_memcg(h), b);
	remove_and_put(b);
	assert_ptr_equal(handle_memcg(h), a);
	remove_and_put(a);
	assert_ptr_equal(handle_memcg(h), tree.root);
	settle();
	assert_int_equal(a32_load(&tree.nr_groups), 1);
	assert_int_equal(a32_load(&tree.nr_handles), 2);
	handle_put_many(h, 2);
	settle();
	assert_int_equal(a32_load(&tree.nr_handles), 2);
	handle_put_many(h, 1);
	settle();
	assert_int_equal(a32_load(&tree.nr_handles), 1);
	memcg_tree_fini(&tree);
}

/* The parent's usage includes the child's before and after; the uncharge finds the parent. */
TEST(a_charge_made_in_a_removed_group_is_given_back_by_its_parent)
{
	struct memcg_tree tree;
	struct mem_cgroup *a;
	struct memcg_handle *h;

	assert_int_equal(memcg_tree_init(&tree), 0);
	a = make(tree.root, "a");
	h = a->handle;
	page_counter_charge(&a->memory, 10);
	page_counter_charge(&a->memsw, 10);
	handle_get_many(h, 10);
	handle_uncharge(h, 4); /* into a's stock, which removal drains */
	handle_put_many(h, 4);
	remove_and_put(a);
	assert_int_equal(page_counter_read(&tree.root->memory), 6);
	handle_uncharge(h, 6);
	handle_put_many(h, 6);
	stock_drain(tree.root);
	assert_int_equal(page_counter_read(&tree.root->memory), 0);
	assert_int_equal(page_counter_read(&tree.root->memsw), 0);
	memcg_tree_fini(&tree);
}

TEST(statistics_and_events_are_local_and_summed_over_the_subtree)
{
	struct memcg_tree tree;
	struct mem_cgroup *a, *b;

	assert_int_equal(memcg_tree_init(&tree), 0);
	a = make(tree.root, "a");
	b = make(a, "b");
	stat_add(a, STAT_ANON, 3);
	stat_add(b, STAT_ANON, 5);
	stat_add(b, STAT_ANON, -1);
	event_add(b, EVENT_MAX, 2);
	assert_int_equal(stat_read_local(a, STAT_ANON), 3);
	assert_int_equal(stat_read(a, STAT_ANON), 7);
	assert_int_equal(stat_read(tree.root, STAT_ANON), 7);
	assert_int_equal(event_read_local(a, EVENT_MAX), 0);
	assert_int_equal(event_read(a, EVENT_MAX), 2);
	remove_group(b); /* the sum is unchanged */
	assert_int_equal(stat_read_local(a, STAT_ANON), 7);
	assert_int_equal(event_read_local(a, EVENT_MAX), 2);
	stat_add(b, STAT_ANON, 1); /* late: found by the fold at the free */
	memcg_put(b);
	settle();
	assert_int_equal(stat_read(tree.root, STAT_ANON), 8);
	remove_and_put(a);
	assert_int_equal(stat_read_local(tree.root, STAT_ANON), 8);
	memcg_tree_fini(&tree);
}

TEST(statistics_and_events_have_the_controller_s_names)
{
	assert_string_equal(stat_key(STAT_INACTIVE_ANON), "inactive_anon");
	assert_true(stat_is_gauge(STAT_ANON));
	assert_false(stat_is_gauge(STAT_PGFAULT));
	assert_string_equal(event_key(EVENT_OOM_KILL), "oom_kill");
	assert_string_equal(event_file(EVENT_OOM_KILL), "memory.events");
	assert_string_equal(event_file(EVENT_SWAP_FAIL), "memory.swap.events");
	for (int i = 0; i < NR_STATS; i++)
		assert_true(stat_key(i)[0] != '\0');
	for (int i = 0; i < NR_EVENTS; i++)
		assert_true(event_key(i)[0] != '\0');
}

/* ---- the mm layer's part of a group --------------------------------------------------------- */

static int mm_parts, mm_init_result;

static void count_mm_free(struct mem_cgroup *memcg)
{
	assert_ptr_equal(memcg->mm_private, &mm_parts);
	mm_parts--;
}

static int count_mm_init(struct mem_cgroup *memcg)
{
	assert_null(next(memcg->parent, memcg->parent)); /* nobody can find it yet */
	if (mm_init_result)
		return mm_init_result;
	memcg->mm_private = &mm_parts;
	memcg->mm_free = count_mm_free;
	mm_parts++;
	return 0;
}

TEST(the_mm_part_is_made_before_a_group_is_found_and_freed_with_it)
{
	struct memcg_tree tree;
	struct mem_cgroup *a;
	int err;

	assert_int_equal(memcg_tree_init(&tree), 0);
	tree.mm_init = count_mm_init;
	mm_init_result = -ENOMEM;
	assert_null(memcg_create(tree.root, "a", &err));
	assert_int_equal(err, -ENOMEM);
	mm_init_result = 0;
	a = make(tree.root, "a");
	assert_int_equal(mm_parts, 1);
	tree.mm_init = NULL;
	assert_null(memcg_create(tree.root, "a", &err));
	assert_int_equal(mm_parts, 1);
	remove_and_put(a);
	memcg_tree_fini(&tree);
	assert_int_equal(mm_parts, 0);
}

static void put_an_online_group_away(void)
{
	struct memcg_tree tree;

	if (memcg_tree_init(&tree) == 0)
		memcg_put(tree.root);
}

TEST(putting_the_last_reference_of_an_online_group_stops_the_program)
{
	test_expect_abort(put_an_online_group_away, "LIFE_RELEASED");
}
