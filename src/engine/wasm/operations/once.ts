/** What is made of a key, such as the kernels of a plan: once a process. */
export function once<K, M>(make: (key: K) => M): (key: K) => M {
  const made = new Map<K, M>();
  return (key) => {
    let found = made.get(key);
    if (!found) made.set(key, (found = make(key)));
    return found;
  };
}
