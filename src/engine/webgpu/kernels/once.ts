/** What is made of some values, such as a kernel of its options: once for each name that they give. */
export function once<A extends readonly unknown[], M>(
  nameOf: (...of: A) => string,
  make: (...of: A) => M,
): (...of: A) => M {
  const made = new Map<string, M>();
  return (...of) => {
    const name = nameOf(...of);
    let found = made.get(name);
    if (found === undefined) made.set(name, (found = make(...of)));
    return found;
  };
}
